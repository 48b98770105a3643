"""A Ray cluster of two nodes on this machine, for tests: started, looked into, and gone afterwards.

Both nodes say that they have a GPU, each of another type, though none is there: Ray then places
tasks as it does on real ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster

_STORE_BYTES = 80_000_000
#: Seconds that anything here may take; far more than it does on two quiet cores.
PATIENCE = 400.0


class TwoNodes:
    """`kill` and `add` change the second node; the first one is the head."""

    def __init__(self, folder: str) -> None:
        self._cluster = Cluster()
        self._folder = folder
        self._node(num_cpus=2, accelerator="H100", temp_dir=folder, include_dashboard=False)
        self.add()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> None:
        self._second = self._node(num_cpus=1, accelerator="A100")

    def scripts_on_second(self) -> list[psutil.Process]:
        """Of the cell that is measured there, if one is."""
        raylet = psutil.Process(self._second.all_processes["raylet"][0].process.pid)
        return [one for one in raylet.children(recursive=True) if _is_script(one)]

    def kill_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()

    def _node(self, *, accelerator: str, **options: Any) -> Any:
        return self._cluster.add_node(
            num_gpus=1,
            object_store_memory=_STORE_BYTES,
            resources={f"accelerator_type:{accelerator}": 1},
            # Where shared memory is small, as in containers.
            plasma_directory=None if _roomy("/dev/shm") else self._folder,
            **options,
        )

    def left_over(self) -> list[str]:
        """Command lines of processes that belong to this cluster."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(self._folder in word for word in process.cmdline()):
                    found.append(" ".join(process.cmdline())[:200])
        return found


@contextlib.contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Of its processes and files nothing is left afterwards; a failure if there is."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of its sockets must be
    # `Cluster` leaves its address there too, and does not make the folder.
    os.makedirs(get_default_ray_temp_dir(), exist_ok=True)
    cluster = None
    try:
        cluster = TwoNodes(folder)
        yield cluster
    finally:
        if cluster is not None:
            cluster.close()
            wait_for(lambda: not cluster.left_over(), "the cluster's end", seconds=30)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def matrix(
    address: str, file: Path, output: Path, *words: str, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """`sdbackends matrix --quick --ray ADDRESS`, as a person starts it."""
    options = ["--quick", f"--file={file}", f"--output={output}", f"--ray={address}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sdbackends", "matrix", *options, *words],
        env={**os.environ, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and all that was said."""
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def wait_for(it_is_so: Callable[[], bool], what: str, *, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not it_is_so():
        assert time.monotonic() < until, f"no {what} after {seconds} s"
        time.sleep(0.1)


def _is_script(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("/pipelines/" in word for word in process.cmdline())
    return False


def _roomy(folder: str) -> bool:
    return os.path.isdir(folder) and shutil.disk_usage(folder).free > 4 * _STORE_BYTES
