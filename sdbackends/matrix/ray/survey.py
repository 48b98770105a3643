"""What the nodes are: each is asked once, and one of each kind is probed for its ceilings.

The questions are Ray tasks that are bound to their node. A node that cannot answer cannot measure
either: at the start that ends the run with the fix; one that joins later is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sdbackends import log
from sdbackends.catalog.requirements import pip_install
from sdbackends.errors import SdError
from sdbackends.matrix.ray import task
from sdbackends.matrix.ray.cluster import ClusterNode, on, start
from sdbackends.matrix.ray.errors import last_line
from sdbackends.matrix.ray.writers import MachineWriters
from sdbackends.matrix.results import Ceilings
from sdbackends.matrix.results_writer import ResultsWriter

#: Seconds for a probe, which waits until nothing else is on the node.
_PATIENCE = 600


class ClusterSurvey:
    """`env`: Ray's description of the environment in which the nodes answer."""

    def __init__(self, writers: MachineWriters, env: dict[str, Any]) -> None:
        self._writers, self._env = writers, env
        self._silent: set[str] = set()

    def learn(self, nodes: Iterable[ClusterNode], *, gpu: bool) -> None:
        """Enter these nodes, as far as they answer."""
        import ray

        new = [
            node
            for node in nodes
            if node.id not in self._silent and not self._writers.knows(node.id, gpu=gpu)
        ]
        asked = [(node, self._ask(task.describe, node, gpu=gpu)) for node in new]
        probes: list[tuple[ResultsWriter, Any]] = []
        for node, ref in asked:
            try:
                writer = self._writers.enter(node, ray.get(ref), gpu=gpu)
            except ray.exceptions.RayError as error:
                self._silent.add(node.id)
                log.warn(f"{node.label} is left out: {last_line(error)}")
                continue
            if writer.run.ceilings == Ceilings() and writer not in [one for one, _ in probes]:
                probes.append((writer, self._ask(task.ceilings, node, gpu=gpu, alone=True)))
        for writer, ref in probes:
            try:
                found = ray.get(ref, timeout=_PATIENCE)
            except ray.exceptions.RayError as error:
                log.warn(f"the ceilings of {writer.run.machine.name}: {last_line(error)}")
            else:
                writer.run = writer.run.model_copy(update={"ceilings": found})

    def check(self) -> None:
        """Nothing, when some node has answered.

        Raises:
            SdError: none has.
        """
        if not self._writers.writers:
            raise SdError(
                "no node of the cluster can measure",
                why="each of them was asked what it is, and what it answered is above",
                fix=f"on each node: {pip_install('sdbackends[matrix]')}; or --ray-env pip here",
            )

    def _ask(
        self, question: Callable[..., object], node: ClusterNode, *, gpu: bool, alone: bool = False
    ) -> Any:
        options: dict[str, Any] = {"num_cpus": node.cpus if alone else 0, **on(node)}
        if gpu and alone:
            options["num_gpus"] = 1
        return start(question, options={**options, "runtime_env": self._env}, gpu=gpu)
