"""Engines that give back something else than their graph says: eager torch, and a line with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from sdbackends import log
from sdbackends.engines.base import EngineContext, ModuleEngine
from sdbackends.errors import RunError
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.settings import BackendChoice, Settings
from tests.replay import Behaviour, ReplayEngine
from tests.scripts.models import picture, small

Results = Sequence[Any]
#: From the right results (one tensor of float32[1, 4, 4, 4]) to wrong ones.
WRONG: dict[str, Callable[[Results], Any]] = {
    "none": lambda right: None,
    "a none for a tensor": lambda right: [None],
    "no result": lambda right: [],
    "one too many": lambda right: [*right, right[0]],
    "numpy": lambda right: [right[0].numpy()],
    "meta": lambda right: [right[0].to("meta")],
    "float64": lambda right: [right[0].double()],
    "int32": lambda right: [right[0].int()],
    "complex64": lambda right: [right[0].to(torch.complex64)],
    "another size": lambda right: [right[0][:, :1]],
    "a row": lambda right: [right[0][0]],
    "a number": lambda right: [right[0].sum()],
    "transposed": lambda right: [right[0].transpose(0, 1)],
    "nan": lambda right: [right[0] * float("nan")],
    "inf": lambda right: [right[0] / 0],
}


class Graphs(ReplayEngine):
    """Runs its graphs rightly, and gives `change` of the results."""

    survives_fork = True

    def __init__(self) -> None:
        super().__init__(Behaviour())
        self.change: Callable[[Results], Any] = lambda right: right

    def build(self, *given: Any) -> Any:
        program = super().build(*given)
        run = type(program).__call__
        engine = self

        class Changed(type(program)):  # type: ignore[misc]
            def __call__(self, inputs: Any) -> Any:
                return engine.change(run(self, inputs))

        program.__class__ = Changed
        return program


class Modules(ModuleEngine):
    name = "modules"

    def __init__(self) -> None:
        super().__init__(EngineContext())
        self.change: Callable[[Results], Any] = lambda right: right

    def version(self) -> str:
        return "1"

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        return lambda *args: self.change(graph(*args))


@pytest.fixture(params=[Graphs, Modules])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    engine = request.param()
    monkeypatch.setattr(engine_pool, "create", lambda name, context: engine)
    return engine


@pytest.fixture
def patches() -> Iterator[Patches]:
    patches = Patches()
    log.forget()
    yield patches
    patches.undo()


@pytest.mark.parametrize("verify", [False, True], ids=["", "verify"])
def test_every_wrong_answer(
    engine: Any, patches: Patches, capsys: pytest.CaptureFixture[str], verify: bool
) -> None:
    """All of them on the programs of one model: to build one for each would take long."""
    model = small()
    expected = picture(model)
    settings = Settings(backend=BackendChoice.parse("jax"), cache_dir=None, verify=verify)
    router.install(settings, patches)
    wrong = []
    for name, change in WRONG.items():
        log.forget()
        engine.change = change
        try:
            result = picture(model)
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
            continue
        said = capsys.readouterr().err
        if not torch.equal(result, expected) or said.count("runs on eager torch") != 1:
            wrong.append(f"{name}: {said}")
    assert not wrong
    engine.change = lambda right: right
    torch.testing.assert_close(picture(model), expected, rtol=1e-5, atol=1e-6)
    assert "runs on eager torch" not in capsys.readouterr().err, "the engine goes on"


@pytest.mark.parametrize("name", ["none", "another size", "nan"])
def test_where_falling_back_is_forbidden(engine: Any, patches: Patches, name: str) -> None:
    settings = Settings(backend=BackendChoice.parse("jax"), cache_dir=None, fallback="error")
    router.install(settings, patches)
    engine.change = WRONG[name]
    with pytest.raises(RunError):
        picture(small())
