"""`sdbackends matrix` as a process of its own, over a few cells, some with faulty backends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from sdbackends.matrix import store
from sdbackends.matrix.results import Run
from tests.matrix import faulty_backends

MATRIX = """
reference: torch
tolerances:
  fp32: {part_max_relative: 1.0e-3, image_max: 3, min_psnr: 45, reason: sums in another order}
full: &all
  terms: {repeats: 2, warmups: 1, seconds: 200, memory: 10 GB}
  special:
    - {where: {backend: hanging}, seconds: LIMIT}
    - {where: {backend: leaking}, repeats: 100, memory: 1.5 GB}
  axes:
    pipeline: stable_diffusion
    model: embedded
    backend: [BACKENDS]
    precision: fp32
    size: 64
    batch: 1
    steps: 4
    scheduler: ddim
    device: cpu
quick: *all
"""


class SmallMatrix:
    """In `folder`: the file, the results, and whatever is temporary.

    Args:
        limit: seconds of the backend that hangs.
    """

    def __init__(self, folder: Path, backends: Sequence[str], *, limit: int) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._file = folder / "matrix.yaml"
        named = ", ".join(backends)
        self._file.write_text(MATRIX.replace("BACKENDS", named).replace("LIMIT", str(limit)))
        catalog = faulty_backends.beside_the_true_ones(folder)
        self._env = {**os.environ, **faulty_backends.variables(catalog)}
        self._env["TMPDIR"] = str(self.temporary)

    @contextlib.contextmanager
    def start(self) -> Iterator[subprocess.Popen[str]]:
        """The running matrix; it is gone at the end of the block."""
        words = ["matrix", f"--file={self._file}", f"--output={self.results}", "--name=run"]
        process = subprocess.Popen(
            [sys.executable, "-m", "sdbackends", *words],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self) -> Run:
        """What the matrix has written so far."""
        return store.read(next(self.results.glob("*/run.json")))

    def reports(self) -> Path:
        """The folder of the run's reports."""
        return next(self.results.glob("*/run"))


def tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All that the matrix has started, and itself."""
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]
