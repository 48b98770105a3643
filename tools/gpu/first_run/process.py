"""One item's process: started with its log followed, ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from first_run.items import Item
from first_run.logs import Logs

#: Seconds for a process to end by itself once it was told to.
_TO_END = 2.0


@dataclass(frozen=True)
class Places:
    """Where the items write: the results file, the barrier's files, what is packed."""

    journal: Path
    barrier: Path
    kept: Path


class Running:
    """A process that was started."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path, logs: Logs
    ) -> None:
        self.name = name
        self.began = time.monotonic()
        #: When it was its turn; None: it is still building.
        self.turn: float | None = None
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,  # its other end is ours alone: the child sees us go
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._log = logs.follow(name, self._process.stdout)

    def code(self) -> int | None:
        """Its exit code once it has ended and its log is whole."""
        code = self._process.poll()
        if code is not None:
            self._log.join(timeout=_TO_END)  # a worker of its may hold the pipe longer
        return code

    def end(self) -> None:
        """By SIGTERM, which lets a log be whole, then by SIGKILL."""
        end_all([self])

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _wait(self, until: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=max(until - time.monotonic(), 0))


def end_all(running: Sequence[Running]) -> None:
    """End them side by side, so that many take no longer than one: at most three `_TO_END`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _TO_END
        for one in running:
            one._signal(number)
        for one in running:
            one._wait(until)
    until = time.monotonic() + _TO_END
    for one in running:
        one._log.join(timeout=max(until - time.monotonic(), 0))


def start(
    item: Item, places: Places, env: Mapping[str, str], logs: Logs, *, planted: str, rehearsal: bool
) -> Running:
    """The process of an item."""
    kept = places.kept / item.name
    kept.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "first_run.child", item.name]
    command += [f"--journal={places.journal}", f"--barrier={places.barrier}", f"--kept={kept}"]
    command += [f"--plant={planted}"] if planted else []
    command += ["--rehearse"] if rehearsal else []
    own = {
        **env,
        **item.env,
        "SD_CACHE_DIR": str(places.barrier / f"{item.name}-cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(places.barrier / f"{item.name}-inductor"),
        "TRITON_CACHE_DIR": str(places.barrier / f"{item.name}-triton"),
    }
    return Running(item.name, command, own, Path(__file__).parents[1], logs)
