"""How the probe times a GPU, on a machine without one: which calls come between which waits."""

from __future__ import annotations

import pytest

from sdbackends.matrix.measure import peak_flops


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    events: list[str] = []
    monkeypatch.setattr(peak_flops.torch.cuda, "synchronize", lambda: events.append("wait"))
    return events


def test_several_calls_stand_between_two_waits(log):
    peak_flops._timed("cuda", lambda: log.append("call"))
    assert log == ["wait", *["call"] * peak_flops._CALLS, "wait"]


def test_the_first_call_which_loads_libraries_is_not_timed(log, monkeypatch):
    """A first convolution can take seconds, which would end the series as "far too slow"."""
    timed = []
    monkeypatch.setattr(peak_flops, "_timed", lambda device, work: timed.append(len(log)) or 0.1)
    peak_flops._seconds("cuda", lambda: log.append("call"))
    assert timed[0] == 1


def test_a_cpu_is_timed_call_by_call(log):
    peak_flops._timed("cpu", lambda: log.append("call"))
    assert log == ["call"]
