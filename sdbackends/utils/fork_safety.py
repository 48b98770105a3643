"""What has to be put right in a forked child: locks of threads that are not there any more.

A lock that another thread held while the process was forked stays locked in the child, where nobody
gives it back. Locks made here are free in every child. What they guard may have been left halfway,
so only such locks are made here under which a half-done change does no harm.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def reentrant_lock() -> threading.RLock:
    """A `threading.RLock` that is free in a forked child."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _free_all() -> None:
    for lock in list(_locks):
        if not lock._is_owned():
            lock._at_fork_reinit()  # as the standard library does with its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
