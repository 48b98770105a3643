"""Whether others used the machine while a cell was measured.

All processor time that was spent, less that of this process and of everything that it started, is
others' time: of the whole machine, whose memory and power all cores share, and of the cores that
this process may use, which can be few of many. What a hypervisor gave to other guests counts too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import psutil

#: Others may take this share of the cores before a cell counts as measured on a busy machine.
_SHARE = 0.05
#: What a core does when it works, by psutil's names; not every system has all of them.
_WORK = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")


@dataclass(frozen=True)
class Spent:
    """Seconds: the clock, the work of each core since it was started, and ours on all of them."""

    clock: float
    cores: tuple[float, ...]
    own: float


class LoadMonitor:
    """Counts from the moment when it is made.

    Args:
        look: reads the machine. usable: the numbers of the cores that this process may use.
    """

    def __init__(
        self, look: Callable[[], Spent] | None = None, usable: Collection[int] | None = None
    ) -> None:
        self._look = look or spent
        self._usable = cores() if usable is None else usable
        self._before = self._look()
        self._load = _load()

    def busy(self) -> bool:
        """Whether others took more than their share since."""
        return self.share() > _SHARE

    def share(self) -> float:
        """What others took of all cores, or of those that we may use, whichever is more: 0..1."""
        now, before = self._look(), self._before
        passed = max(now.clock - before.clock, 1e-3)
        own = now.own - before.own
        worked = [after - begun for after, begun in zip(now.cores, before.cores, strict=False)]
        ours = [work for core, work in enumerate(worked) if core in self._usable]
        shares = [(sum(some) - own) / (len(some) * passed) for some in (worked, ours) if some]
        return max((0.0, *shares))

    def load(self) -> tuple[float, float] | None:
        """The 1-minute load averages at the beginning and now; None where there are none."""
        now = _load()
        return (self._load, now) if self._load is not None and now is not None else None


def spent() -> Spent:
    """What the machine has worked so far."""
    work = tuple(
        sum(getattr(core, name, 0.0) for name in _WORK) for core in psutil.cpu_times(percpu=True)
    )
    return Spent(time.monotonic(), work, _own())


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
    total = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total
