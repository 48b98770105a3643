"""Graphs, workers and parents for the tests of the worker."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, Value
from sdbackends.worker.client import Placed, RemoteProgram, Worker, WorkerSpec

ENGINES = Path(__file__).parent / "engines"
ROOT = Path(__file__).parents[2]


def graph(
    shape: tuple[int, ...] = (2, 3), dtype: str = "float32", *, weights: int = 0, constants: int = 0
) -> Graph:
    """x -> y of one shape and dtype; what is between them is the fake engine's affair."""
    spec = TensorSpec(shape, dtype)
    return Graph(
        inputs=(Value("x", "0", spec),),
        weights=tuple(Value(f"w{i}", f"w{i}", spec) for i in range(weights)),
        constants=tuple(Value(f"c{i}", f"c{i}", spec) for i in range(constants)),
        nodes=(Node("y", "aten.mul.Tensor", (Ref("x"), Ref("w0")), {}, (spec,), False, ""),),
        outputs=(Ref("y"),),
    )


def spec(trouble: Path | None = None, **changes: Any) -> WorkerSpec:
    """A worker with the fake engine in this interpreter."""
    options = {} if trouble is None else {"trouble": str(trouble)}
    given: dict[str, Any] = {
        "name": "fake",
        "python": Path(sys.executable),
        "engine": "fake:create",
        "options": options,
        "path": (ENGINES,),
    }
    return WorkerSpec(**{**given, **changes})


def weight(worker: Worker, values: Any) -> tuple[np.ndarray, Placed]:
    """An array in a segment of its own, and its place."""
    values = np.asarray(values)
    segment = worker.segment(values.nbytes)
    array = np.frombuffer(segment.buffer, values.dtype, values.size).reshape(values.shape)
    array[...] = values
    return array, Placed(segment, 0, values.shape, values.dtype.name)


def call(program: RemoteProgram, value: Any) -> np.ndarray:
    """Fill the first input, run, and copy the first output."""
    program.inputs[0][...] = value
    program.run()
    copy: np.ndarray = program.outputs[0].copy()
    return copy


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it comes true in time; asked again and again, so a quick one costs nothing."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def parent(code: str, folder: Path) -> subprocess.Popen[str]:
    """A Python process that runs `code`, with these helpers imported, in a session of its own."""
    script = folder / "parent.py"
    script.write_text("from tests.worker.helpers import *\n" + textwrap.dedent(code))
    return subprocess.Popen(
        [sys.executable, script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
