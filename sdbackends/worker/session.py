"""The session that a worker begins: every process that comes from it, unless it began one anew."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds for the kernel to end what was killed.
_PATIENCE = 2.0


def kill(leader: int) -> None:
    """End the whole session of `leader`, which has not been waited for: its number is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    # Groups of their own, and what was forked in between.
    deadline = time.monotonic() + _PATIENCE
    while (others := list(_members(leader))) and time.monotonic() < deadline:
        for pid in others:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _members(leader: int) -> Iterator[int]:
    """Those that run, without the leader; nobody may ever wait for those that have ended."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            # After the name, which may hold anything: state, parent, group, session.
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader != int(path.name) and fields[0] not in "ZX":
                yield int(path.name)
