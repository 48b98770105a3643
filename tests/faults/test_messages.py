"""An exception whose text cannot be had is a failure of the engine like any other, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sdbackends import engines, log
from sdbackends.capture.graph import Graph
from sdbackends.engines.base import EngineContext, MissingOp, ModuleEngine, Program
from sdbackends.errors import BackendNotReadyError, BuildError, SdError
from sdbackends.host.patches import Patches
from sdbackends.runtime import router
from sdbackends.settings import BackendChoice, Settings
from sdbackends.utils.error_text import in_words, text_of
from sdbackends.worker.server import describe_error
from tests import tiny_models
from tests.replay import ReplayEngine


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("an exception without words")


class NoText(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class Endless(Exception):
    def __str__(self) -> str:
        return f"{self}"


class MuteOwn(BuildError):
    """One of ours, as an engine may raise it."""

    def __init__(self) -> None:
        super().__init__("it is mute")

    __str__ = Mute.__str__


KINDS = (Mute, NoText, Endless, MuteOwn)


class _Fault:
    """Where the engine fails, and with what."""

    stage = ""
    kind: type[Exception] = Mute

    @classmethod
    def at(cls, stage: str) -> None:
        if stage == cls.stage:
            raise cls.kind()


class HostileEngine(ReplayEngine):
    def __init__(self, context: EngineContext) -> None:
        _Fault.at("init")
        super().__init__()

    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        _Fault.at("unsupported")
        return super().unsupported(graph)

    def build(self, graph: Graph, weights: Any, constants: Any) -> Program:
        _Fault.at("build")
        program = super().build(graph, weights, constants)
        return _Program(program)


class _Program(Program):
    def __init__(self, program: Program) -> None:
        self._program = program

    def __call__(self, inputs: Any) -> Any:
        _Fault.at("call")
        return self._program(inputs)

    def rebind(self, weights: Any) -> None:
        _Fault.at("rebind")
        self._program.rebind(weights)


class HostileModuleEngine(ModuleEngine):
    name = "hostile"

    def __init__(self, context: EngineContext) -> None:
        _Fault.at("init")
        super().__init__(context)

    def version(self) -> str:
        return "1"

    def prepare(self, module: torch.nn.Module) -> None:
        _Fault.at("prepare")

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        _Fault.at("compile")

        def program(*args: Any) -> Any:
            _Fault.at("call")
            return graph(*args)

        return program


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Callable[..., None]]:
    """Begins a session on one of the engines above, which fails in a stage."""
    patches = Patches()
    log.forget()

    def begin(engine: str, stage: str, kind: type[Exception], **changes: Any) -> None:
        monkeypatch.setitem(engines.ENGINES, "jax", f"{__name__}:{engine}")
        monkeypatch.setattr(_Fault, "stage", stage)
        monkeypatch.setattr(_Fault, "kind", kind)
        choice = BackendChoice.parse("jax")
        router.install(Settings(**{"backend": choice, "cache_dir": cache, **changes}), patches)

    with torch.no_grad():
        yield begin
    patches.undo()


@pytest.mark.parametrize(
    ("engine", "stage", "kind"),
    [
        *(("HostileEngine", stage, Mute) for stage in ("unsupported", "build", "rebind")),
        *(("HostileModuleEngine", stage, Mute) for stage in ("init", "prepare", "compile", "call")),
        *(("HostileEngine", stage, kind) for stage in ("init", "call") for kind in KINDS),
    ],
)
def test_the_model_runs_on_eager_torch_and_the_reason_is_said(
    session: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    engine: str,
    stage: str,
    kind: type[Exception],
) -> None:
    model, ids = tiny_models.clip_text(), tiny_models.token_ids()
    session(engine, stage, kind)
    if stage == "rebind":
        model(ids)
        next(model.parameters()).mul_(0.5)
    result = model(ids).last_hidden_state
    said = capsys.readouterr().err
    assert "on eager torch" in said
    assert kind.__name__ in said or kind is MuteOwn
    assert torch.equal(result, torch.nn.Module.__call__(model, ids).last_hidden_state)


@pytest.mark.parametrize("stage", ["init", "build", "call"])
def test_it_is_raised_as_ours_where_eager_is_forbidden(
    session: Callable[..., None], stage: str
) -> None:
    session("HostileEngine", stage, Mute, fallback="error")
    with pytest.raises(SdError, match="Mute: no message"):
        tiny_models.clip_text()(tiny_models.token_ids())


def test_a_module_that_fails_at_its_import_without_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mute_engine.py").write_text(
        "class Mute(Exception):\n    def __str__(self):\n        raise LookupError\n\nraise Mute\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendNotReadyError, match="Mute: no message"):
        engines.create("mute_engine:Engine", EngineContext())


@pytest.mark.parametrize("kind", [Mute, NoText, Endless])
def test_a_worker_tells_of_it(kind: type[Exception]) -> None:
    assert describe_error(kind()) == {"type": kind.__name__, "text": "", "where": ""}


def test_words_are_the_first_line() -> None:
    assert in_words(ValueError("one\ntwo")) == "ValueError: one"
    assert in_words(ValueError()) == "ValueError: no message"
    assert text_of(ValueError("one\ntwo")) == "one\ntwo"


def test_words_of_what_was_wrapped() -> None:
    """torch's wrapper says in its first line only that a backend raised something."""
    inner = ValueError("what was wrong\nand more")
    wrapper = RuntimeError("backend='inductor' raised:\nValueError: what was wrong")
    wrapper.inner_exception = inner  # type: ignore[attr-defined]
    outer = RuntimeError("raised:")
    outer.inner_exception = wrapper  # type: ignore[attr-defined]
    assert in_words(outer) == "ValueError: what was wrong"
    inner.inner_exception = inner  # type: ignore[attr-defined]
    assert in_words(outer) == "ValueError: what was wrong"
