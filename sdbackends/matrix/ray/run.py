"""The loop at home: cells go out to the nodes, results come home one by one, as each is done.

GPU cells are handed to Ray all at once; it gives each a GPU of its own, of the type asked for. Ray
has no word for "a whole node, however large", so for CPU cells the loop itself picks a free node
and takes all of its CPUs: nothing else that Ray knows of is on it meanwhile. What is lost with a
node goes back to the cells that wait.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbackends import log
from sdbackends.matrix import report
from sdbackends.matrix.ray import cluster, errors, runtime_env, task
from sdbackends.matrix.ray.cluster import ClusterNode
from sdbackends.matrix.ray.job import Job
from sdbackends.matrix.ray.survey import ClusterSurvey
from sdbackends.matrix.ray.writers import Kind, MachineWriters
from sdbackends.matrix.results import Cell, CellResult, Run
from sdbackends.matrix.results_writer import RunRequest, line
from sdbackends.matrix.run import SKIPPED

Say = Callable[[str], None]
#: Seconds between two looks at the nodes.
_LOOK = 1.0
#: Seconds in which Ray finds out that a node from which a cell was lost is gone as a whole: until
#: some heartbeats are missed, it would give more cells to the dead node.
_REST = 45.0
#: Seconds for a node to come (back), where no cell can run on those that there are.
_PATIENCE = 60.0
#: Seconds for cells to end their scripts after Ctrl-C.
_ENDING = 20.0


@dataclass(frozen=True)
class Gathered:
    """What a run on many machines left behind: a file for each kind of machine, and one report.

    Attributes:
        stranded: cells for which no node was left.
        asked: as in `run.Finished`.
    """

    name: str
    files: tuple[tuple[Path, Run], ...]
    reports: tuple[Path, ...]
    interrupted: bool
    stranded: int
    asked: tuple[Cell, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path, _ in self.files)

    @property
    def outcomes(self) -> Counter[str]:
        asked = set(self.asked)
        return Counter(
            one.outcome for _, run in self.files for one in run.cells if one.cell in asked
        )

    @property
    def failed(self) -> bool:
        return bool(self.stranded) or any(outcome not in SKIPPED for outcome in self.outcomes)


def run(
    order: RunRequest,
    planned: Sequence[Job],
    environment: runtime_env.Environment,
    *,
    doing: Say,
    done: Say,
) -> Gathered:
    """Measure the cells of `order`, as `planned`, on the cluster that this process is connected to.

    Args:
        doing: told how many cells are on which node. done: told a line about each that is finished.

    Raises:
        UsageError: as `matrix.run.run`.
        SdError: no node can measure.
    """
    writers = MachineWriters(order)
    survey = ClusterSurvey(writers, runtime_env.runtime_env(order.matrix.reference, environment))
    loop = Loop(order, environment, writers, survey, doing, done)
    interrupted = False
    try:
        doing("what the nodes are, and what they can do at most")
        loop.learn(planned)
        survey.check()
        for job in planned:
            if writers.has(job.cell, job.accelerator):
                done(f"{'kept':<14} {job.id}")
            else:
                loop.waiting.append(job)
        loop.run()
    except KeyboardInterrupt:
        interrupted = True
        doing("the cells on the nodes are ended")
        loop.end()
    files = writers.all()
    reports: tuple[Path, ...] = ()
    if files:
        doing("the report")
        folder = order.output / writers.name
        written = report.write([one for _, one in files], folder, [path for path, _ in files])
        reports = (written.html, written.markdown, written.csv)
    return Gathered(
        writers.name, tuple(files), reports, interrupted, len(loop.waiting), order.cells
    )


class Loop:
    """What waits, what is out on the nodes, and what is done with what comes home."""

    def __init__(
        self,
        order: RunRequest,
        environment: runtime_env.Environment,
        writers: MachineWriters,
        survey: ClusterSurvey,
        doing: Say,
        done: Say,
    ) -> None:
        self._order, self._environment = order, environment
        self._writers, self._survey = writers, survey
        self._doing, self._done = doing, done
        self.waiting: list[Job] = []
        #: By Ray's generator of what the task says.
        self._out: dict[Any, Job] = {}
        self._labels: dict[str, str] = {}
        #: Cells of the same work are compared, so they run on one kind of machine.
        self._bound: dict[tuple[object, ...], Kind] = {}
        self._resting: dict[str, float] = {}
        self._hopeless_since: float | None = None

    def learn(self, planned: Sequence[Job]) -> dict[str, ClusterNode]:
        """The present nodes; those that are new are asked what they are."""
        nodes = cluster.nodes()
        # A label that was once shown stays, whoever comes or goes.
        self._labels = {node.id: node.label for node in nodes.values()} | self._labels
        for gpu in (False, True):
            types = {job.accelerator for job in planned if job.gpu == gpu}
            fit = [
                node
                for node in nodes.values()
                if any(node.fits(gpu=gpu, accelerator=one) for one in types)
            ]
            self._survey.learn(fit, gpu=gpu)
        return nodes

    def run(self) -> None:
        """Return when nothing is left to do, or nothing to do it on."""
        import ray

        while self.waiting or self._out:
            nodes = self.learn([*self.waiting, *self._out.values()])
            if self._hopeless(nodes):
                self.end()
                left = len(self.waiting)
                log.warn(f"no node is left that could run the other {left} cells: see --resume")
                return
            self._place(nodes)
            self._doing(self._where())
            if not self._out:
                time.sleep(_LOOK)
                continue
            ready, _ = ray.wait(list(self._out), timeout=_LOOK)
            for said in ready:
                self._hear(said)

    def end(self) -> None:
        """Cancel what is out, and keep what comes home all the same."""
        import ray

        for said in self._out:
            ray.cancel(said)
        until = time.monotonic() + _ENDING
        while self._out and time.monotonic() < until:
            ready, _ = ray.wait(list(self._out), timeout=_LOOK)
            for said in ready:
                job = self._out[said]
                try:
                    self._take(said, job, cluster.word(said))
                except ray.exceptions.RayError:
                    self.waiting.append(self._out.pop(said))

    def _place(self, nodes: dict[str, ClusterNode]) -> None:
        for job in [job for job in self.waiting if job.gpu]:
            self._send(job, num_cpus=1, num_gpus=1, accelerator_type=job.accelerator)
        taken = {job.node for job in self._out.values() if not job.gpu}
        now = time.monotonic()
        for node in nodes.values():
            free = node.id not in taken and self._resting.get(node.id, 0) < now
            if free and self._writers.knows(node.id, gpu=False):
                found = self._for(node, nodes)
                if found is not None:
                    found.node = node.id
                    self._send(found, num_cpus=node.cpus, **cluster.on(node))

    def _for(self, node: ClusterNode, nodes: dict[str, ClusterNode]) -> Job | None:
        """The first waiting cell whose work is bound to this kind of machine, or to none yet."""
        own = self._writers.kind(node.id, gpu=False)
        alive = {
            self._writers.kind(one, gpu=False)
            for one in nodes
            if self._writers.knows(one, gpu=False)
        }
        for job in self.waiting:
            bound = self._bound.get(job.cell.work)
            if bound == own or bound not in alive:
                self._bound[job.cell.work] = own
                return job
        return None

    def _send(self, job: Job, **options: Any) -> None:
        self.waiting.remove(job)
        job.begun = False
        options["runtime_env"] = runtime_env.runtime_env(job.cell.backend, self._environment)
        said = cluster.start(task.measure, job.cell, self._order, options=options, gpu=job.gpu)
        self._out[said] = job

    def _hear(self, said: Any) -> None:
        import ray

        job = self._out[said]
        try:
            self._take(said, job, cluster.word(said))
        except ray.exceptions.RayError as error:
            del self._out[said]
            self._failed(job, error)

    def _take(self, said: Any, job: Job, word: task.Begun | task.Done) -> None:
        if isinstance(word, task.Begun):
            job.node, job.begun = word.node, True
            return
        del self._out[said]
        self._keep(job, word.result, word.drawn)

    def _failed(self, job: Job, error: Exception) -> None:
        ended = errors.ended(error)
        if ended is None:
            job.losses += 1
            self._resting[job.node] = time.monotonic() + _REST
            if job.losses < errors.LOSSES:
                log.warn(f"{job.id} was lost with {self._label(job)}; it is begun anew")
                self.waiting.insert(0, job)
                return
            ended = errors.lost_for_good(error)
        self._keep(job, CellResult(cell=job.cell, outcome=ended.outcome, reason=ended.reason), None)

    def _keep(self, job: Job, result: CellResult, drawn: bytes | None) -> None:
        if self._writers.knows(job.node, gpu=job.gpu):
            writer = self._writers.writer(job.node, gpu=job.gpu)
        else:
            # It never came to a node, or to one that joined and left at once: any will do.
            writer = next(iter(self._writers.writers.values()))
        writer.add(result, drawn)
        self._done(f"{line(result)}  [{self._label(job)}]")

    def _hopeless(self, nodes: dict[str, ClusterNode]) -> bool:
        """Whether for some time now nothing has run, and nothing could."""
        left = (*self.waiting, *self._out.values())
        able = any(job.begun for job in self._out.values()) or any(
            node.fits(gpu=job.gpu, accelerator=job.accelerator)
            and self._writers.knows(node.id, gpu=job.gpu)
            for job in left
            for node in nodes.values()
        )
        if able:
            self._hopeless_since = None
            return False
        self._hopeless_since = self._hopeless_since or time.monotonic()
        return time.monotonic() - self._hopeless_since > _PATIENCE

    def _where(self) -> str:
        """Cells in flight by node, and how many wait."""
        begun = Counter(self._label(job) for job in self._out.values() if job.begun)
        words = [f"{label}: {count}" for label, count in sorted(begun.items())]
        waiting = len(self.waiting) + len(self._out) - begun.total()
        return ", ".join([*words, f"{waiting} waiting"])

    def _label(self, job: Job) -> str:
        return self._labels.get(job.node, "a node")
