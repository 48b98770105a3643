"""Where the results of a run on many machines go: a writer for each kind of machine.

Nodes on which figures are comparable share one file, `FOLDER/MACHINE/NAME.json` as at home; NAME is
the same for all. Kinds whose machines are called alike are told apart by a number. What an earlier
part of the run left behind is found again by what its file says of the machine.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.matrix import resume, store
from sdbackends.matrix.ray.cluster import ClusterNode
from sdbackends.matrix.results import Cell, Machine, Run
from sdbackends.matrix.results_writer import ResultsWriter, RunRequest
from sdbackends.matrix.run import new_run

#: What figures depend on, and Ray's names for the GPU; none of them where the CPU is used.
Kind = tuple[tuple[object, ...], frozenset[str]]


class MachineWriters:
    """Raises UsageError where the name is taken, or the run to be resumed is of another kind."""

    def __init__(self, order: RunRequest) -> None:
        self._order = order
        self.name = _name(order)
        self.writers: dict[Kind, ResultsWriter] = {}
        self._kinds: dict[tuple[str, bool], Kind] = {}
        # Read at once: what cannot be gone on with is refused before anything is measured.
        self._earlier = {
            path: self._resumed(path) for path in order.output.glob(f"*/{self.name}.json")
        }

    def knows(self, node: str, *, gpu: bool) -> bool:
        return (node, gpu) in self._kinds

    def kind(self, node: str, *, gpu: bool) -> Kind:
        return self._kinds[node, gpu]

    def writer(self, node: str, *, gpu: bool) -> ResultsWriter:
        return self.writers[self._kinds[node, gpu]]

    def enter(self, node: ClusterNode, here: Machine, *, gpu: bool) -> ResultsWriter:
        """The writer for results of `node`, which is `here` as a cell on it sees it."""
        kind = (resume.matters(here), node.accelerators if gpu else frozenset())
        self._kinds[node.id, gpu] = kind
        if kind not in self.writers:
            self.writers[kind] = self._new(here)
        return self.writers[kind]

    def has(self, cell: Cell, accelerator: str | None) -> bool:
        """Whether the cell is done: on that accelerator, or anywhere where none is asked for."""
        if accelerator is None and any(_has(run, cell) for _, run in self._others()):
            return True
        writers = (
            writer
            for kind, writer in self.writers.items()
            if accelerator is None or accelerator in kind[1]
        )
        return any(writer.has(cell) for writer in writers)

    def all(self) -> list[tuple[Path, Run]]:
        """What the run consists of, with what it did on machines that are not there now."""
        own = [(writer.path, writer.run) for writer in self.writers.values() if writer.run.cells]
        return sorted([*own, *self._others()], key=lambda pair: pair[0])

    def _new(self, here: Machine) -> ResultsWriter:
        taken = {writer.path for writer in self.writers.values()}
        for number in itertools.count(1):
            name = here.name if number == 1 else f"{here.name}-{number}"
            path = self._order.output / name / f"{self.name}.json"
            begun = self._earlier.get(path)
            if path in taken or (begun and not _alike(begun.machine, here)):
                continue
            named = here.model_copy(update={"name": name})
            return ResultsWriter(path, begun or new_run(named, self._order), self._order)
        raise AssertionError("there are numbers enough")

    def _resumed(self, path: Path) -> Run:
        begun = store.read(path)
        return resume.resume(path, begun, new_run(begun.machine, self._order))

    def _others(self) -> Iterator[tuple[Path, Run]]:
        """Files of this run of which no present node has written anything."""
        taken = {writer.path for writer in self.writers.values()}
        return ((path, run) for path, run in self._earlier.items() if path not in taken)


def _name(order: RunRequest) -> str:
    files = list(order.output.glob("*/*.json"))
    newest = max(files, key=lambda path: path.stat().st_mtime).stem if files else None
    name = order.name or (newest if order.resume else None)
    name = name or time.strftime("%Y-%m-%d-%H%M%S", time.gmtime())
    there = [path for path in files if path.stem == name]
    if there and not order.resume:
        raise UsageError(
            f"there is a run {name} already",
            where=", ".join(map(str, there)),
            fix="--resume goes on with it; another --name begins a new one",
        )
    return name


def _alike(one: Machine, other: Machine) -> bool:
    return resume.matters(one) == resume.matters(other)


def _has(run: Run, cell: Cell) -> bool:
    return any(one.cell == cell and one.outcome != "not-installed" for one in run.cells)
