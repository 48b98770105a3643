"""Forks of the process, and traces of Dynamo in other threads."""

from __future__ import annotations

import os
import threading

from torch._dynamo.convert_frame import compile_lock

from sdbackends.capture.collector import collector

#: Seconds for which a fork waits for a trace in another thread.
_FORK = 60.0
_here = threading.local()


def traces_elsewhere() -> bool:
    """Whether Dynamo traces in another thread: `torch.compiler.is_compiling()` is then True here.

    So are `torch.nn.Module`'s methods those of the trace for as long as it lasts.
    """
    if not compile_lock.acquire(blocking=False):
        return True
    compile_lock.release()
    return False


class _Fork:
    """Forks wait for a trace in another thread, whose half-done changes the child would keep."""

    def __init__(self) -> None:
        #: This process was forked in the midst of one all the same.
        self.amid = False

    def before(self) -> None:
        _here.waited = compile_lock.acquire(timeout=_FORK)

    def in_parent(self) -> None:
        if _here.waited:
            compile_lock.release()

    def in_child(self) -> None:
        if _here.waited:
            compile_lock.release()
        else:
            compile_lock._at_fork_reinit()  # type: ignore[attr-defined]
            self.amid = True
        collector.after_fork()


def forked_amid_trace() -> bool:
    """Whether this process was forked while Dynamo traced in another thread: it must not trace."""
    return _fork.amid


_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child
    )
