"""`sdbackends matrix --ray`: the cluster that the cells are spread over, joined and left again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdbackends.errors import UsageError

if TYPE_CHECKING:
    from sdbackends.matrix.ray.job import Job
    from sdbackends.matrix.ray.run import Gathered
    from sdbackends.matrix.ray.runtime_env import Environment
    from sdbackends.matrix.results import Cell
    from sdbackends.matrix.results_writer import RunRequest


@dataclass(frozen=True)
class Spread:
    """How cells are spread. `device`: what `auto` means on the cluster."""

    device: str
    accelerators: tuple[str, ...]
    environment: Environment

    def jobs(self, cells: Sequence[Cell]) -> list[Job]:
        from sdbackends.matrix.ray.job import jobs

        return jobs(cells, self.accelerators, gpus=self.device == "cuda")

    def measure(
        self, order: RunRequest, *, doing: Callable[[str], None], done: Callable[[str], None]
    ) -> Gathered:
        from sdbackends.matrix.ray.run import run

        return run(order, self.jobs(order.cells), self.environment, doing=doing, done=done)


@contextmanager
def spread(
    address: str | None, accelerators: Sequence[str] | None, environment: Environment | None
) -> Iterator[Spread | None]:
    """Within it this process is connected to the cluster; None: there is none, cells run here.

    Raises:
        UsageError: the cluster cannot be reached, or lacks one of the accelerators.
    """
    words = [word.strip() for item in accelerators or () for word in item.split(",")]
    wanted = tuple(dict.fromkeys(filter(None, words)))
    if address is None:
        if accelerators or environment:
            raise UsageError(
                "--accelerator and --ray-env say how a Ray cluster is used",
                why="there is no --ray",
                fix="add --ray ADDRESS, or leave them out",
            )
        yield None
        return
    from sdbackends.matrix.ray import cluster, runtime_env

    cluster.check(address)
    with tempfile.TemporaryDirectory(prefix="sdbackends-ray-") as folder:
        ours = runtime_env.package(Path(folder))
        with cluster.connected(address, {"py_modules": [str(ours)]}):
            cluster.check_accelerators(wanted)
            yield Spread(cluster.device(), wanted, environment or "present")
