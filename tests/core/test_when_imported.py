"""`when_imported`: after the module, now or later, and not after the undo."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before, finders = dict(sys.modules), list(sys.meta_path)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    assert sys.meta_path == finders


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()


def test_later_and_after_the_module_ran(modules: Path) -> None:
    write(modules, "wanted", "value = 1")
    seen: list[int] = []
    when_imported("wanted", lambda m: seen.append(m.value), Patches())
    assert seen == []
    module = importlib.import_module("wanted")
    assert seen == [1]
    assert type(module.__spec__) is ModuleSpec
    assert type(module.__loader__) is SourceFileLoader


def test_at_once_when_it_is_there() -> None:
    seen: list[ModuleType] = []
    when_imported("json", seen.append, Patches())
    assert seen == [importlib.import_module("json")]


def test_everybody_is_called_in_order(modules: Path) -> None:
    write(modules, "wanted", "")
    seen: list[str] = []
    for who in "ab":
        when_imported("wanted", lambda m, who=who: seen.append(who), Patches())
    importlib.import_module("wanted")
    assert seen == ["a", "b"]


def test_not_after_the_undo(modules: Path) -> None:
    write(modules, "wanted", "")
    seen: list[ModuleType] = []
    patches = Patches()
    when_imported("wanted", seen.append, patches)
    patches.undo()
    importlib.import_module("wanted")
    assert seen == []


def test_a_module_that_is_being_imported_is_waited_for(modules: Path) -> None:
    write(
        modules,
        "wanted",
        "from sdbackends.host.import_hooks import when_imported\n"
        "from sdbackends.host.patches import Patches\n"
        "import sys\n"
        "when_imported('wanted', lambda m: setattr(m, 'seen', m.value), Patches())\n"
        "early = hasattr(sys.modules['wanted'], 'seen')\n"
        "value = 1\n",
    )
    module = importlib.import_module("wanted")
    assert (module.early, module.seen) == (False, 1)
    assert type(module.__spec__) is ModuleSpec


def test_a_failed_import_is_not_an_arrival(modules: Path) -> None:
    write(modules, "wanted", "raise ImportError('not yet')")
    seen: list[ModuleType] = []
    when_imported("wanted", seen.append, Patches())
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module("wanted")
    assert seen == []
    write(modules, "wanted", "value = 22222")
    importlib.import_module("wanted")
    assert len(seen) == 1


def test_a_module_that_replaces_itself(modules: Path) -> None:
    write(
        modules,
        "wanted",
        "import sys, types\nnew = types.ModuleType('wanted')\nnew.__spec__ = __spec__\n"
        "sys.modules['wanted'] = new\n",
    )
    seen: list[ModuleType] = []
    when_imported("wanted", seen.append, Patches())
    assert importlib.import_module("wanted") is seen[0]
