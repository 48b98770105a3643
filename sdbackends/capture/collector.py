"""Python's collector while models are called."""

from __future__ import annotations

import gc
import threading

from sdbackends.utils import fork_safety

_here = threading.local()


class Collector:
    """Python's collector rests while any thread is in a call.

    A trace makes millions of objects, and a third of its time would be the collector's walks. JAX
    also hangs a callback on it in which Ctrl-C is lost.
    """

    def __init__(self) -> None:
        self._lock = fork_safety.reentrant_lock()
        self._calls = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._calls == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._calls += 1
        _here.calls = getattr(_here, "calls", 0) + 1

    def __exit__(self, *error: object) -> None:
        _here.calls -= 1
        with self._lock:
            self._calls -= 1
            if self._calls == 0 and self._was_on:
                gc.enable()

    def after_fork(self) -> None:
        """In a forked child the calls of other threads have no end."""
        left = getattr(_here, "calls", 0)
        if self._calls and not left and self._was_on:
            gc.enable()
        self._calls = left


collector = Collector()
