"""An end in good order: SIGTERM and SIGHUP tidy up as Ctrl-C does, and then end the process.

By itself either signal ends a process at once: its children run on, its folders stay. Here it
raises `Ended` in the main thread, so that every `finally` and `with` does its work on the way out.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


class Ended(BaseException):
    """The process was told to end. No error: only `in_order` catches it."""


class _Told:
    """Which signal came, and whether it has to wait."""

    number: int | None = None
    held = 0


@contextmanager
def in_order() -> Iterator[None]:
    """The block ends by an exception when the process is told to end, and the process after it.

    A signal that is ignored (SIGHUP under nohup) or has a handler stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        try:
            yield
        finally:
            _leave(ours)
    except Ended:
        _leave(ours)  # it may have come in the midst of that
    finally:
        told, _Told.number = _Told.number, None
    if told is not None:
        sys.stderr.flush()
        os.kill(os.getpid(), told)


@contextmanager
def held() -> Iterator[None]:
    """The signal waits for the end of the block: what it starts is then known and can be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Told.held += 1
    try:
        yield
    finally:
        _Told.held -= 1
    if _Told.number is not None and not _Told.held:
        raise Ended


def _leave(numbers: list[signal.Signals]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    if _Told.number is not None:
        return  # it tidies up already
    _Told.number = number
    if not _Told.held:
        raise Ended
