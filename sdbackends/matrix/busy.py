"""Whether others used the machine while a cell was measured.

All processor time that was spent on the cores that this process may use, less that of this process
and of everything that it started, is others' time.
"""

from __future__ import annotations

import contextlib
import os
import time

import psutil

#: Others may take this share of the cores before a cell counts as measured on a busy machine.
_SHARE = 0.1


class Others:
    """Counts from the moment when it is made."""

    def __init__(self) -> None:
        self._cores = cores()
        self._began = time.monotonic()
        self._spent, self._own = self._all(), _own()
        self._load = _load()

    def busy(self) -> bool:
        """Whether others took more than their share since."""
        others = (self._all() - self._spent) - (_own() - self._own)
        passed = max(time.monotonic() - self._began, 1e-3)
        return others > _SHARE * len(self._cores) * passed

    def load(self) -> tuple[float, float] | None:
        """The 1-minute load averages at the beginning and now; None where there are none."""
        now = _load()
        return (self._load, now) if self._load is not None and now is not None else None

    def _all(self) -> float:
        spent = 0.0
        every = psutil.cpu_times(percpu=True)
        for core in self._cores:
            if core < len(every):
                spent += every[core].user + every[core].system
        return spent


def cores() -> tuple[int, ...]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _own() -> float:
    """Processor seconds of this process and its descendants, of those that are gone too."""
    spent = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            spent += sum(process.cpu_times()[:4])
    return spent
