"""The check against the truth: the libraries that are installed, and torch itself as the oracle."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdbackends.oneflow_host.check import check
from sdbackends.oneflow_host.check.follow import SCRIPT, follow, world
from sdbackends.oneflow_host.check.modules import Modules
from sdbackends.oneflow_host.check.oneflow_query import Answer
from sdbackends.oneflow_host.check.reader import read

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

SCRIPTS = {
    "StableDiffusionPipeline": "from diffusers import StableDiffusionPipeline",
    "a model": "import transformers\ntransformers.CLIPTextModel",
}
LOADED = """
import json, sys
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(json.dumps([file for file in files if file and "/diffusers/" in file]))
"""


class Torch:
    """Lacks what the installed torch lacks: nothing that its libraries use unasked."""

    def ask(self, names: list[str]) -> Answer:
        lacking = {name: "not in torch" for name in names if not self._has(name)}
        return Answer(lacking, oneflow="none", python="", is_here=True)

    def _has(self, name: str) -> bool:
        found, parts = torch, name.split(".")
        for end in range(2, len(parts) + 1):
            try:
                found = getattr(found, parts[end - 1])
            except (AttributeError, RuntimeError):
                try:
                    found = importlib.import_module(".".join(parts[:end]))
                except (ImportError, TypeError):  # torch.classes has errors of its own
                    return False
        return True


@contextmanager
def real_torch() -> Iterator[Torch]:
    yield Torch()


@pytest.mark.parametrize("script", SCRIPTS)
def test_torch_itself_lacks_nothing(tmp_path: Path, script: str) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPTS[script], encoding="utf-8")
    report = check(path, real_torch)
    stops = [found for found in report.findings if found.weight in ("own", "stops")]
    assert [(found.file.name, found.line, found.name) for found in stops] == []
    assert not report.unreadable


def test_every_file_that_an_import_loads_was_read(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPTS["StableDiffusionPipeline"], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPTS["StableDiffusionPipeline"] + LOADED],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    modules = Modules(tmp_path)
    source = read(script.read_bytes(), script, SCRIPT, world(modules), is_script=True)
    followed = follow(source, modules, lambda files: None)
    files = {str(source.path) for source in followed.sources.values()}
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert len(loaded) > 100
    assert set(loaded) <= files
