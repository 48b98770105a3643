"""A process and all its descendants: how much memory they take, and how they are ended.

Workers are found again even after their parent died: whatever was once seen in the tree belongs to
it. The sizes are the private pages of each process plus the largest shared part once, because a
worker maps the very weights that its client holds.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from pathlib import Path

import psutil

#: Seconds between two looks for new processes; a look reads all of /proc, 30 us a process, and who
#: looks takes a core from who is measured.
_LOOK = 1.0


class ProcessTree:
    """The descendants of process `pid`, itself included."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: set[psutil.Process] = {self._root}
        self._looked = 0.0
        self.peak = 0

    def memory(self) -> int:
        """Bytes at present; raises `peak` to it."""
        self._look()
        private, shared = 0, 0
        for process in self._known:
            with contextlib.suppress(psutil.Error):
                own = process.memory_info()
                common = getattr(own, "shared", 0)
                private += own.rss - common
                shared = max(shared, common)
        self.peak = max(self.peak, private + shared, self._high_water())
        return private + shared

    def seconds_of_cpu(self) -> float:
        """Processor time of all that are still there, and of the children that they outlived.

        A compiler that came and went between two looks is in its parent's books.
        """
        total = 0.0
        for process in self._known:
            with contextlib.suppress(psutil.Error):
                # Two more on Linux: of children that have ended. The fifth, waiting, is no work.
                total += sum(process.cpu_times()[:4])
        return total

    def kill(self) -> None:
        """End every process of the tree, at once, and wait until they are gone."""
        with contextlib.suppress(psutil.Error):
            # Stopped first, so that it starts nothing while its children are counted.
            self._root.suspend()
        self._look(now=True)
        for process in self._known:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(list(self._known), timeout=10)

    def _look(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._looked <= _LOOK:
            return
        children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process)
        # A build leaves hundreds of ended compilers: each would be asked for at every look.
        known = {process for process in self._known if process.is_running()} | {self._root}
        unseen = list(known)
        while unseen:
            new = [one for one in children[unseen.pop().pid] if one not in known]
            known.update(new)
            unseen.extend(new)
        self._known = known
        self._looked = time.monotonic()

    def _high_water(self) -> int:
        """The kernel's own mark of the root: what came and went between two looks is in it."""
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{self._root.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0
