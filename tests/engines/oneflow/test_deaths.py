"""A worker that dies takes one call with it, never the script; the next call has a new one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import torch

import sdbackends
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.errors import RunError
from tests import tiny_models
from tests.engines.oneflow.helpers import build, worst
from tests.engines.oneflow.test_calls import unet_call


def process_of(engine: OneflowEngine) -> int:
    process = engine._worker._life.process
    assert process is not None
    return process.pid


def kill_in_the_next_call(pid: int) -> None:
    """Stopped, it takes the call and answers nothing; then it is killed."""
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()


def test_a_kill_between_calls_costs_nothing(engine) -> None:
    call = unet_call(tiny_models.unet(), 1, 8, 8)
    built = build(engine, call)
    before = process_of(engine)
    os.kill(before, signal.SIGKILL)
    while engine._worker._life.process.alive:
        time.sleep(0.01)
    assert worst(built.run(call), call.eager()) < 1e-5
    assert process_of(engine) != before


def test_a_kill_in_a_call_ends_that_call(engine) -> None:
    call = unet_call(tiny_models.unet(), 1, 8, 8)
    built = build(engine, call)
    kill_in_the_next_call(process_of(engine))
    with pytest.raises(RunError, match="SIGKILL"):
        built.run(call)
    assert worst(built.run(call), call.eager()) < 1e-5


@pytest.fixture
def routed_engine(monkeypatch) -> Callable[[], OneflowEngine]:
    """The engine that the router made last."""
    made = []
    real = OneflowEngine.__init__

    def remember(self, context):
        real(self, context)
        made.append(self)

    monkeypatch.setattr(OneflowEngine, "__init__", remember)
    return lambda: made[-1]


def test_the_script_goes_on(routed_engine, capfd) -> None:
    """The call falls back with its reason, the next is OneFlow's again."""
    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()
    with torch.no_grad():
        expected = clip(ids).last_hidden_state
        with sdbackends.use("oneflow", fallback="warn"):
            clip(ids)
            before = process_of(routed_engine())
            kill_in_the_next_call(before)
            torch.testing.assert_close(clip(ids).last_hidden_state, expected)
            said = capfd.readouterr().err
            assert "SIGKILL" in said and "this call runs on eager torch" in said
            torch.testing.assert_close(clip(ids).last_hidden_state, expected)
            assert process_of(routed_engine()) != before
    assert not os.path.exists(f"/proc/{before}")


def test_without_fallback_it_is_raised(routed_engine) -> None:
    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()
    with torch.no_grad(), sdbackends.use("oneflow", fallback="error"):
        clip(ids)
        kill_in_the_next_call(process_of(routed_engine()))
        with pytest.raises(RunError, match="SIGKILL"):
            clip(ids)
