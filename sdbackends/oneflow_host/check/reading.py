"""Many files read at once, in as many processes as there are cores to be had.

diffusers and what it imports are 800 files: seconds for one process. A file that was begun is taken
when its turn comes; a process that dies, or a system that cannot fork, costs only the time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from sdbackends.oneflow_host.check.model import Source
from sdbackends.oneflow_host.check.reader import read
from sdbackends.oneflow_host.check.visitor import World

#: From here on processes are worth their start.
_MANY = 8
_MOST_PROCESSES = 8

#: What the processes know from their birth: it holds functions, which no pipe can carry.
_world: World | None = None


class _File(NamedTuple):
    name: str
    path: Path
    is_package: bool


class Reading:
    """Files that are being read; `with` ends the processes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.files: dict[str, _File] = {}
        self.futures: dict[str, Future[Source | None]] = {}
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def begin(self, name: str, path: Path, *, is_package: bool) -> None:
        """Read this file some time before it is taken."""
        file = self.files[name] = _File(name, path, is_package)
        if self.pool is None and len(self.files) >= _MANY:
            self.pool = _processes(self.world)
        if self.pool is not None:
            with suppress(BrokenProcessPool):
                self.futures[name] = self.pool.submit(_read_in_process, file)

    def take(self, name: str) -> Source | None:
        """What the file says; None where it is not Python."""
        future = self.futures.pop(name, None)
        if future is not None:
            with suppress(BrokenProcessPool):
                return future.result()
        return _read(self.files[name], self.world)


def _processes(world: World) -> ProcessPoolExecutor | None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores < 2:
        return None
    context = multiprocessing.get_context("fork")
    workers = min(cores, _MOST_PROCESSES)
    return ProcessPoolExecutor(workers, context, _born, (world,))


def _born(world: World) -> None:
    global _world
    _world = world
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says what an interrupt means


def _read_in_process(file: _File) -> Source | None:
    assert _world is not None
    return _read(file, _world)


def _read(file: _File, world: World) -> Source | None:
    try:
        text = file.path.read_bytes()
        return read(text, file.path, file.name, world, is_package=file.is_package)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
