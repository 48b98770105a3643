"""What becomes of one call of a model; the one that a thread is in is found by `record`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType


@dataclass
class CallRecord:
    """What became of one call.

    Attributes:
        traced: graphs that Dynamo traced in it.
        ran: programs of the engine that ran in it.
        cold: Dynamo had something to trace, or tried to.
        breaks: what it could not trace, in its words.
        reasons: why parts of it ran on eager torch.
        since: when the work on the next graph began (`time.perf_counter`).
        owner: what tells programs for this call from those for others (a model, and a state of its
            classes).
        may_trace: whether Dynamo may trace at all; else what has no program runs on eager torch.
        skipped: functions that Dynamo could not trace for this owner.
    """

    traced: int = 0
    ran: int = 0
    cold: bool = False
    breaks: list[str] = field(default_factory=list)
    reasons: list[BaseException] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)
    owner: object = None
    may_trace: bool = True
    skipped: set[CodeType] = field(default_factory=set)


_here = threading.local()


def record() -> CallRecord | None:
    """The record of the call that this thread is in."""
    return getattr(_here, "record", None)


@contextmanager
def recording(call: CallRecord) -> Iterator[None]:
    """Within it, `call` is the record of this thread; calls may stand in calls."""
    before = record()
    _here.record = call
    try:
        yield
    finally:
        _here.record = before
