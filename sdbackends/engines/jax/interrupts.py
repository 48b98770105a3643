"""Ctrl-C that would be lost in JAX's callback of Python's collector.

A signal that comes during a long collection is handled by the first Python that runs after it. With
JAX that is a callback of the collector, and what a callback raises is reported as ignored and
dropped: Ctrl-C did nothing. So it is raised once more in the main thread, a moment later.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from typing import Any

_CALLBACK = "_xla_gc_callback"
#: Seconds; raised at once, it would be raised in the reporting of the first one, and lost as well.
_MOMENT = 0.05
_main = threading.main_thread().ident or 0
_report = sys.unraisablehook


def _again() -> None:
    time.sleep(_MOMENT)
    if hasattr(signal, "pthread_kill"):
        # A signal in earnest: it ends what the main thread waits for.
        signal.pthread_kill(_main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _watch(ignored: Any) -> None:
    name = getattr(ignored.object, "__name__", None)
    if ignored.exc_type is KeyboardInterrupt and name == _CALLBACK:
        _thread.start_new_thread(_again, ())
    else:
        _report(ignored)


sys.unraisablehook = _watch
