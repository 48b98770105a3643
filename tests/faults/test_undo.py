"""A session ends whole: a step that fails stops no other, and the script's own error stays."""

from __future__ import annotations

import types

import pytest
import torch

from sdbackends import session as activate
from sdbackends.engines.base import EngineContext
from sdbackends.engines.inductor import InductorEngine
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool
from sdbackends.runtime import router as route
from sdbackends.session import Session
from sdbackends.settings import BackendChoice, Settings
from sdbackends.utils import undoing
from tests import tiny_models
from tests.replay import ReplayEngine


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words for it")


def fail(error: BaseException):
    def step() -> None:
        raise error

    return step


@pytest.fixture
def own_session():
    """A session over nothing but the patches that the test lays."""
    session = Session(Settings())
    activate._stack.append(session)
    yield session
    if session in activate._stack:
        activate._stack.remove(session)


@pytest.mark.parametrize("error", [RuntimeError("broken\nin two lines"), Wordless()])
def test_the_other_steps_of_patches_are_undone(error, capsys):
    owner, patches = types.SimpleNamespace(name="before"), Patches()
    patches.set(owner, "name", "after")
    patches.on_undo("the broken one", fail(error))
    patches.set(owner, "other", "new")
    patches.undo()
    assert vars(owner) == {"name": "before"} and patches.changes == ()
    said = capsys.readouterr().err
    assert "the broken one could not be undone" in said and type(error).__name__ in said


def test_ctrl_c_in_a_step_comes_when_all_is_undone():
    owner, patches = types.SimpleNamespace(name="before"), Patches()
    patches.set(owner, "name", "after")
    patches.on_undo("a step", fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        patches.undo()
    assert owner.name == "before"


def test_the_scripts_own_error_stays(own_session):
    own_session.patches.on_undo("a step", fail(RuntimeError("ours")))
    with pytest.raises(ZeroDivisionError), own_session:
        _ = 1 / 0
    assert activate.active() is None


def test_a_session_that_cannot_be_closed_yet_hides_no_error_of_the_scripts(own_session, capsys):
    later = Session(Settings(backend=BackendChoice("torch")))
    activate._stack.append(later)
    with pytest.raises(ZeroDivisionError), own_session:
        _ = 1 / 0
    activate._stack.remove(later)
    assert "cannot be closed yet" in capsys.readouterr().err


def test_every_engine_and_program_is_closed(monkeypatch, tmp_path, capsys):
    closed = []

    class Broken(ReplayEngine):
        def build(self, *args):
            program = super().build(*args)
            program.close = fail(RuntimeError("a program"))
            return program

        def close(self) -> None:
            closed.append(self)
            raise RuntimeError("an engine")

    monkeypatch.setattr(engine_pool, "create", lambda name, context: Broken())
    before = torch.compile
    patches = Patches()
    settings = Settings(backend=BackendChoice.parse("jax,unet=torch"), cache_dir=tmp_path)
    router = route.install(settings, patches)
    router.engines.engine("torch")
    with torch.no_grad():
        tiny_models.clip_text()(tiny_models.token_ids())
    patches.undo()
    assert len(closed) == 2 and torch.compile is before
    said = capsys.readouterr().err
    assert said.count("RuntimeError: an engine") == 2
    assert said.count("RuntimeError: a program") == 1


def test_what_inductor_changed_is_undone_to_the_end(monkeypatch, tmp_path):
    import os

    import torch._inductor.runtime.cache_dir_utils  # noqa: F401  (its import writes a default)

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    engine = InductorEngine(EngineContext(cache_dir=tmp_path))
    engine._undo.append(fail(RuntimeError("unfusing")))
    engine.close()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_a_step_is_run_when_stderr_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    ran = []
    undoing.run_all([("one", fail(RuntimeError())), ("two", lambda: ran.append("two"))])
    assert ran == ["two"]
