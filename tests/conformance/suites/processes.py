"""Run test files of a suite, each in a process of its own, a few at a time.

A test that kills its process, or from which nothing is heard any more, is recorded as such, and
the rest of its file goes on in a new process. What is done is in the journal, so that a run that
was interrupted goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.suites.records import Journal, Record, of_process

#: Seconds between two looks at the processes.
_LOOK = 0.5
#: A test may take its time limit; a process says nothing while it imports, collects or compiles.
_SILENCE = 120.0
_NO_TESTS = 5  # pytest's exit code where all were deselected

#: tell(files left, records so far), called again and again.
Tell = Callable[[int, Iterable[Record]], None]


@dataclass(frozen=True)
class Order:
    """How to run the files.

    Attributes:
        folder: the folder that the files' names start from.
        timeout: seconds for one test.
        only: the tests to run; None: all that there are.
        logs: where what pytest prints goes, one file for each test file.
    """

    folder: Path
    environment: Mapping[str, str]
    timeout: float
    jobs: int
    only: Collection[str] | None
    logs: Path


def run(files: Sequence[str], order: Order, journal: Journal, tell: Tell) -> None:
    """Run what the journal has not yet."""
    waiting = deque(file for file in files if file not in journal.files)
    with tempfile.TemporaryDirectory(prefix="sd-suite-") as scratch, _processes() as running:
        while waiting or running:
            while waiting and len(running) < order.jobs:
                running.append(_Process(waiting.popleft(), order, journal, Path(scratch)))
            time.sleep(_LOOK)
            for process in [one for one in running if one.is_over()]:
                running.remove(process)
                if process.settle():
                    waiting.appendleft(process.file)
            tell(len(waiting) + len(running), _so_far(journal, running))


def _so_far(journal: Journal, running: Sequence[_Process]) -> Iterator[Record]:
    yield from journal.records.values()
    for process in running:
        yield from of_process(process.records)[0]


@contextmanager
def _processes() -> Iterator[list[_Process]]:
    running: list[_Process] = []
    try:
        yield running
    finally:
        for process in running:  # interrupted: what is done need not be done again
            process.kill()
            process.keep_finished()


class _Process:
    """pytest on one file, without those of its tests that have a record."""

    def __init__(self, file: str, order: Order, journal: Journal, scratch: Path) -> None:
        self.file, self._order, self._journal = file, order, journal
        self.records = Path(tempfile.mkstemp(dir=scratch, suffix=".jsonl")[1])
        self._hung = False
        self._heard, self._silent = (0, 0), 0.0
        self._log = order.logs / (file.replace("/", "-") + ".log")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        done = [test for test in journal.records if test.startswith(file + "::")]
        environment = {
            **order.environment,
            "SD_SUITE_RECORDS": str(self.records),
            "SD_SUITE_DONE": _list(done, scratch),
        }
        if order.only is not None:
            ours = [test for test in order.only if test.startswith(file + "::")]
            environment["SD_SUITE_TESTS"] = _list(ours, scratch)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", file, *_options(order.timeout)],
                cwd=order.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children go with it
            )

    def is_over(self) -> bool:
        if self._process.poll() is not None:
            return True
        heard = (self.records.stat().st_size, self._log.stat().st_size)
        # Counted in looks, not by the clock: a machine that slept is no test that hangs.
        self._silent = self._silent + _LOOK if heard == self._heard else 0.0
        self._heard = heard
        if self._silent > self._order.timeout + _SILENCE:
            self._hung = True
            self.kill()
        return self._hung

    def settle(self) -> bool:
        """Take over its records; True: the rest of the file must go on in a new process."""
        records, began = of_process(self.records)
        code = self._process.returncode
        if began is not None:
            why = "nothing was heard from it" if self._hung else f"its process ended with {code}"
            records.append(Record(began, "hung" if self._hung else "crashed", why=why))
        self._journal.add(records)
        if began is not None:
            return True
        if not records and code not in (0, _NO_TESTS):
            why = f"pytest ended with {code}; see {self._log.name}"
            self._journal.add([Record(self.file, "crashed", why=why)])
        self._journal.finish(self.file)
        return False

    def keep_finished(self) -> None:
        self._journal.add(of_process(self.records)[0])

    def kill(self) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()


def _options(timeout: float) -> list[str]:
    return [
        *("-p", "sd_suite", "-p", "no:cacheprovider", "-p", "no:randomly"),
        # Its handler switches on torch's trace log, which slows every capture down.
        *("-p", "no:logging"),
        *("--rootdir", ".", "-q", "--no-header", "-rN", "--tb=short"),
        *(f"--timeout={timeout:g}", "--timeout-method=signal"),
    ]


def _list(tests: Sequence[str], scratch: Path) -> str:
    path = Path(tempfile.mkstemp(dir=scratch, suffix=".json")[1])
    path.write_text(json.dumps(tests), encoding="utf-8")
    return str(path)
