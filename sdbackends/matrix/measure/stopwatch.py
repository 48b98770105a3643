"""Spans of time on the device that does the work.

On a CPU a span is two readings of a clock. On a GPU the models' calls return before they are done:
there a span is two events in torch's stream, and is read when the picture is finished, so that
nothing waits for the device on account of being measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from sdbackends.host import cuda

#: Not all of it is typed.
_cuda: Any = torch.cuda

#: Ends the span; what it gives back says how long the span was, once `finish` was called.
Stop = Callable[[], Callable[[], float]]


def on_gpu() -> bool:
    """A real CUDA device that this process has used; the stand-in for a missing one is none."""
    return not cuda.is_applied() and bool(_cuda.is_available() and _cuda.is_initialized())


def start() -> Stop:
    return _start_on_gpu() if on_gpu() else _start_on_cpu()


def finish() -> None:
    """Return when the device has done all that was asked of it."""
    if on_gpu():
        _cuda.synchronize()


def traced_by_dynamo() -> float:
    """Seconds that torch.compile has spent in this process until it had a graph to compile."""
    books: Any = sys.modules.get("torch._dynamo.utils")  # not imported for that: it takes seconds
    if books is None:
        return 0.0
    spent = books.calculate_time_spent()
    return float(spent.get("entire_frame_compile", 0.0) - spent.get("backend_compile", 0.0))


def _start_on_cpu() -> Stop:
    begun = time.perf_counter()

    def stop() -> Callable[[], float]:
        seconds = time.perf_counter() - begun
        return lambda: seconds

    return stop


def _start_on_gpu() -> Stop:
    begun, ended = (_cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()

    def stop() -> Callable[[], float]:
        ended.record()
        return lambda: begun.elapsed_time(ended) / 1000

    return stop
