"""What runs on a node: one cell on a bench of its own, or a question about the machine.

These functions are Ray tasks. What Ray changes in its processes is undone first (the number of
threads, the priority, the GPUs that a CPU cell would see), so that a cell meets what it meets at
home.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from sdbackends.matrix import machine, peak_probe
from sdbackends.matrix.cell_runner import CellRunner
from sdbackends.matrix.results import Ceilings, Cell, CellResult, Machine
from sdbackends.matrix.results_writer import RunRequest


@dataclass(frozen=True)
class Begun:
    """The first word of a cell: Ray has found a node for it."""

    node: str


@dataclass(frozen=True)
class Done:
    """The last one. `drawn`: the picture, a PNG."""

    result: CellResult
    drawn: bytes | None


def measure(cell: Cell, order: RunRequest, *, gpu: bool) -> Iterator[Begun | Done]:
    """The cell, with its own reference beside it and its own torch to agree with.

    Where the task is cancelled, Ray raises KeyboardInterrupt here, and the bench ends its scripts.
    """
    import ray

    _as_at_home()
    if not gpu:
        _hide_gpus()
    yield Begun(ray.get_runtime_context().get_node_id())
    with contextlib.closing(CellRunner(order.matrix, quick=order.quick)) as bench:
        result = bench.measure(cell)
        yield Done(result, bench.picture(result))


def describe(*, gpu: bool) -> Machine:
    """The node as a cell on it sees it: without its GPUs where the cell runs on the CPU."""
    _as_at_home()
    if gpu:
        # It is asked while cells may hold the GPUs, so Ray has given it none.
        _as_started("CUDA_VISIBLE_DEVICES")
    else:
        _hide_gpus()
    return machine.describe()


def ceilings(*, gpu: bool) -> Ceilings:
    """What the node can do at most."""
    _as_at_home()
    if not gpu:
        _hide_gpus()
    return peak_probe.ceilings()


def _as_at_home() -> None:
    """The threads and the priority that the node's own `ray start` had."""
    # Ray sets it to the number of the task's CPUs, or to 1, after the process has begun.
    _as_started("OMP_NUM_THREADS")
    # Ray's processes give way to all others (nice 15); only root may take that back.
    with contextlib.suppress(psutil.Error, OSError):
        own = psutil.Process()
        own.nice(psutil.Process(own.ppid()).nice())


def _hide_gpus() -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _as_started(variable: str) -> None:
    """Give the variable the value with which this process was started."""
    value = psutil.Process().environ().get(variable)
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
