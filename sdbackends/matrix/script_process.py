"""One script in a process of its own, under its limits, drawing when it is told to.

The script is started as a person would start it; an observer in it (`matrix/measure/`) writes
what it measures into the folder, and waits for its turn before each picture after the first.
Whatever ends the script early (its own error, a crash, a limit) is raised here as `CellFailed`, and
its whole tree of processes is gone by then. Where this process is killed, the reaper ends it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.matrix import failures, reaper
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.measure import record, turn_taking
from sdbackends.matrix.measure.record import Measured
from sdbackends.matrix.process_tree import ProcessTree
from sdbackends.utils import termination

#: Seconds between two looks for a new picture, and between two looks at the limits.
_PAUSE, _CHECK = 0.01, 0.25


@dataclass(frozen=True)
class Limits:
    """Of one script: seconds while it is its turn, bytes of all its processes together."""

    seconds: float
    bytes: int


class ScriptProcess:
    """A running script, with all its processes, until `close`.

    Args:
        in_turn: it waits for `draw` before each picture after the first.
        count: it also counts its FLOPs.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        limits: Limits,
        *,
        in_turn: bool,
        count: bool = False,
    ) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self._limits = limits
        self._spent = 0.0
        self._checked = 0.0
        self._seen = 0
        self._measured = Measured()
        #: Of the tree after each picture: a leak shows in it.
        self._sizes: list[int] = []
        self._idle = failures.Idle()
        turn_taking.prepare(folder, in_turn=in_turn, count=count)
        # A signal waits until the reaper knows the process: nobody else could end it yet.
        with self.log.open("wb") as log, termination.held():
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the matrix, which then ends the script itself.
                start_new_session=os.name == "posix",
            )
            reaper.keep_process(self._process.pid)
        self._tree = ProcessTree(self._process.pid)

    @property
    def peak(self) -> int:
        """Most bytes that the tree has held."""
        return self._tree.peak

    def draw(self, number: int) -> float:
        """Let the script draw picture `number` (from 0, one after the other): its seconds.

        Raises:
            CellFailed: the script is gone, by itself or at a limit.
        """
        turn_taking.give(self.folder, number)
        self._wait(lambda: len(self.measured().images) > number)
        self._sizes.append(self._tree.memory())
        return self.measured().images[number]

    def finish(self) -> Measured:
        """Let the script come to its own end.

        Raises:
            CellFailed: it did not end well.
        """
        self._wait(lambda: self._process.poll() is not None)
        if self._process.returncode != 0:
            raise self._dead()
        return self.measured()

    def measured(self) -> Measured:
        """What the script has written so far."""
        changed = record.changed(self.folder)
        if changed != self._seen:
            self._measured, self._seen = record.read(self.folder), changed
        return self._measured

    def close(self) -> None:
        """End what is left of the script and its workers."""
        self._process.poll()
        self._tree.kill()  # of a script that is gone, too: workers may outlive it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Return when `done`; time counts only here, while it is the script's turn."""
        begun = time.monotonic()
        before = self._spent
        while not done():
            self._spent = before + time.monotonic() - begun
            if self._process.poll() is not None and not done():
                raise self._dead()
            if time.monotonic() - self._checked > _CHECK:
                self._checked = time.monotonic()
                self._check_limits()
            time.sleep(_PAUSE)
        self._spent = before + time.monotonic() - begun

    def _check_limits(self) -> None:
        held = self._tree.memory()
        self._idle.see(self._tree.seconds_of_cpu())
        if held > self._limits.bytes:
            self.close()
            raise failures.too_much_memory(self.measured(), held, self._limits.bytes, self._sizes)
        if self._spent > self._limits.seconds:
            self.close()
            raise failures.too_slow(self.measured(), self._limits.seconds, self._idle.seconds)

    def _dead(self) -> CellFailed:
        self.close()
        return failures.died(self.measured(), self._process.returncode, self.log)
