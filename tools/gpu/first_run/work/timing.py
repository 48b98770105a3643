"""How long calls take: by the wall, by the device's own clock, and the host's share of it."""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections.abc import Callable
from typing import Any

import torch

#: Functions in a profile's table.
_LINES = 45


def wait() -> None:
    if _on_gpu():
        torch.cuda.synchronize()


def calls(call: Callable[[], object], count: int, rounds: int = 3) -> dict[str, Any]:
    """Milliseconds a call, for each round.

    `wall`: until the device is done. `host`: until the last call has come back, which is less
    where the host runs ahead. `events`: by two events in torch's stream.
    """
    found: dict[str, list[float]] = {"wall": [], "host": [], "events": []}
    call()
    for _ in range(rounds):
        wait()
        events = _Events()
        began = time.perf_counter()
        for _ in range(count):
            call()
        host = time.perf_counter() - began
        events.stop()
        wait()
        wall = time.perf_counter() - began
        found["wall"].append(_each(wall, count))
        found["host"].append(_each(host, count))
        found["events"] += events.seconds(count)
    return found


def profile(call: Callable[[], object], count: int) -> str:
    """Where the host's time goes in so many calls: cProfile's table."""
    seen = cProfile.Profile()
    seen.enable()
    for _ in range(count):
        call()
    seen.disable()
    wait()
    text = io.StringIO()
    pstats.Stats(seen, stream=text).sort_stats("cumulative").print_stats(_LINES)
    pstats.Stats(seen, stream=text).sort_stats("tottime").print_stats(_LINES)
    return text.getvalue()


def kernels(call: Callable[[], object], count: int) -> tuple[dict[str, Any], str]:
    """What the device does in so many calls: kernels and their time, and the profiler's table."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    on_gpu = _on_gpu()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profiler(activities=activities) as seen:
        for _ in range(count):
            call()
        wait()
    averages = seen.key_averages()
    own = [one for one in averages if str(one.device_type).endswith("CUDA")]
    figures = {
        "kernels_a_call": sum(one.count for one in own) / count,
        "kernel_ms_a_call": sum(one.self_device_time_total for one in own) / count / 1000,
    }
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    return figures, averages.table(sort_by=order, row_limit=_LINES, max_name_column_width=90)


def memory() -> dict[str, float]:
    """Gigabytes on the device: torch's peak, and what all of them hold there now."""
    if not _on_gpu():
        return {}
    free, whole = torch.cuda.mem_get_info()
    peak = torch.cuda.max_memory_allocated()
    return {"torch_peak_gb": round(peak / 1e9, 2), "held_gb": round((whole - free) / 1e9, 2)}


class _Events:
    """A span in torch's stream; on a CPU there is none."""

    def __init__(self) -> None:
        self._pair = [torch.cuda.Event(enable_timing=True) for _ in "ab" if _on_gpu()]
        for event in self._pair[:1]:
            event.record()

    def stop(self) -> None:
        for event in self._pair[1:]:
            event.record()

    def seconds(self, count: int) -> list[float]:
        if not self._pair:
            return []
        first, last = self._pair
        return [_each(first.elapsed_time(last) / 1000, count)]


def _on_gpu() -> bool:
    return bool(torch.cuda.is_available())


def _each(seconds: float, count: int) -> float:
    return round(1000 * seconds / count, 4)
