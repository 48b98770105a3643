"""End a process in which JAX still reads torch's memory.

XLA lets go of an array over a tensor's memory in a thread of its own, which needs the interpreter
for it. While the interpreter is being finalized that ends the whole process by `std::terminate`
(SIGABRT after the script has done its work). So what programs hold at exit is never let go, and
what was let go just before gets the time that it needs.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import time
from collections.abc import Callable
from weakref import WeakMethod, ref

import torch

from sdbackends.engines.jax.layout import Array

#: Seconds; XLA needs some milliseconds for a thousand tensors.
_PATIENCE = 2.0
_process = os.getpid()
_lent: set[ref[torch.Tensor]] = set()
_holders: list[WeakMethod[Callable[[], list[Array]]]] = []


def lend(tensor: torch.Tensor) -> None:
    """Count a tensor whose memory JAX is going to read, until XLA has let go of it."""
    _lent.add(ref(tensor, _lent.discard))


def keep(held: Callable[[], list[Array]]) -> None:
    """At exit, never let go of the arrays that this method returns; its object may be gone."""
    if not _holders:
        atexit.register(_end)
    _holders[:] = [holder for holder in _holders if holder() is not None]
    _holders.append(WeakMethod(held))


def _end() -> None:
    kept: list[Array] = []
    for holder in _holders:
        held = holder()
        if held is not None:
            kept += held()
    # One reference more than Python knows of.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    if os.getpid() != _process:
        return  # a fork has none of XLA's threads
    until = time.monotonic() + _PATIENCE
    while len(_lent) > len(kept) and time.monotonic() < until:
        time.sleep(0.001)
