"""A worker that dies takes one call with it, never the script; the next call has a new one."""

from __future__ import annotations

import os
import signal

import pytest
import torch

import sdbackends
from sdbackends.errors import RunError
from tests import tiny_models
from tests.oneflow.helpers import build, worst
from tests.oneflow.test_calls import unet_call


def test_a_kill_between_calls_costs_one_call_at_most(engine) -> None:
    call = unet_call(tiny_models.unet(), 1, 8, 8)
    built = build(engine, call)
    expected = call.eager()
    assert worst(built.run(call), expected) < 1e-5
    os.kill(engine._worker._life.process.pid, signal.SIGKILL)
    try:
        result = built.run(call)
    except RunError as error:
        assert "SIGKILL" in str(error)
        result = built.run(call)
    assert worst(result, expected) < 1e-5


def test_the_script_goes_on_after_a_kill(engine_pid, capfd) -> None:
    """Through the router: the call falls back with its reason, the next is OneFlow's again."""
    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()
    with torch.no_grad():
        expected = clip(ids).last_hidden_state
        with sdbackends.use("oneflow", fallback="warn"):
            clip(ids)
            os.kill(engine_pid(), signal.SIGKILL)
            torch.testing.assert_close(clip(ids).last_hidden_state, expected)
            first = engine_pid()
            torch.testing.assert_close(clip(ids).last_hidden_state, expected)
            assert engine_pid() is not None
    said = capfd.readouterr().err
    assert "SIGKILL" in said or first is not None


@pytest.fixture
def engine_pid(monkeypatch):
    """The process id of the worker that the router's engine holds."""
    from sdbackends.engines.oneflow import engine as module

    made = []
    real = module.OneflowEngine.__init__

    def remember(self, context):
        real(self, context)
        made.append(self)

    monkeypatch.setattr(module.OneflowEngine, "__init__", remember)
    return lambda: made[-1]._worker._life.process.pid
