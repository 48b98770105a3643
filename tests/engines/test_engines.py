"""Engines by name and by place; where a lowering goes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from sdbackends import engines
from sdbackends.engines.base import EngineContext, ModuleEngine
from sdbackends.engines.places import lowering_file
from sdbackends.errors import BackendNotReadyError, UsageError

LOWERING = "sdbackends/engines/jax/ops"

OWN = """
from sdbackends.engines.eager import EagerEngine

class Mine(EagerEngine):
    pass

class Broken(EagerEngine):
    def __init__(self, context):
        raise ZeroDivisionError("no runtime today")

nothing = print
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_engines_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own")
def test_an_engine_from_outside_is_made_by_its_place() -> None:
    made = engines.create("own_engines_of_a_test:Mine", EngineContext())
    assert type(made).__name__ == "Mine"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("own_engines_of_a_test:Broken", BackendNotReadyError, "no runtime today"),
        ("own_engines_of_a_test:nothing", UsageError, "neither a GraphEngine nor a ModuleEngine"),
        ("own_engines_of_a_test:Nowhere", BackendNotReadyError, "import Nowhere"),
        ("no_such_module_at_all:Engine", BackendNotReadyError, "PYTHONPATH"),
    ],
)
def test_a_place_that_leads_to_no_engine(place: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        engines.create(place, EngineContext())


def test_engines_without_graphs_are_those_that_start_from_the_module() -> None:
    pytest.importorskip("jax")
    found = set()
    for name, place in engines.ENGINES.items():
        module, _, kind = place.partition(":")
        if issubclass(getattr(import_module(module), kind), ModuleEngine):
            found.add(name)
    assert found == engines.WITHOUT_GRAPHS


@pytest.mark.parametrize(
    ("op", "file"),
    [
        ("aten.mean.names_dim", "reduce.py"),  # another overload is there
        ("aten.conv3d.default", "conv.py"),
        ("aten.linalg_qr.default", "linalg.py (a new file)"),
        ("aten.lgamma.default", "unary.py"),
        ("aten.lgamma.default (complex64)", "unary.py"),
        ("aten.index_add.default", "indexing.py"),  # like another by name
    ],
)
def test_a_lowering_goes_to_the_file_of_its_family(op: str, file: str) -> None:
    folder = Path(engines.__file__).parent / "jax" / "ops"
    assert lowering_file(op, folder) == f"{LOWERING}/{file}"


def test_an_op_of_no_known_family_gets_a_file_of_its_own() -> None:
    folder = Path(engines.__file__).parent / "jax" / "ops"
    assert lowering_file("mine.swirl.default", folder) == f"a new file in {LOWERING}"
