"""The OneFlow engine, seen from torch's side: a captured graph runs in a worker process.

OneFlow's newest wheel is for CPython 3.10, and it aborts its process on some errors, so it runs in
a worker with an environment of its own (`backends/environments/oneflow.yaml`). Here the graph is
checked against what the worker can run, the weights are copied into shared memory, and a program
copies its inputs in and its outputs out; the runner beside this file does the rest over there.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from sdbackends.capture.graph import Graph, Node
from sdbackends.engines.base import CallSite, EngineContext, GraphEngine, MissingOp, Program
from sdbackends.engines.missing_ops import in_words, missing_ops
from sdbackends.engines.oneflow.options import OneflowOptions
from sdbackends.engines.oneflow.weights import SharedWeight, SharedWeightStore
from sdbackends.engines.places import lowering_file
from sdbackends.engines.weight_copies import Copies
from sdbackends.errors import BuildError, RunError
from sdbackends.utils import fork_safety, undoing
from sdbackends.worker.client import RemoteProgram, Worker, WorkerSpec

Tensors = Mapping[str, torch.Tensor]
_RUNNER = "sdbackends.engines.oneflow.runner:create"
#: What the worker calls the two ways in which it can run a graph.
_MODES = {"graph": "nn.Graph", "eager": "eager replay"}


class OneflowEngine(GraphEngine):
    """Runs graphs on OneFlow, in a worker process that starts with the first question."""

    name = "oneflow"
    # The child starts a worker of its own.
    survives_fork = True

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self._worker = Worker(_specification(context))
        self._store = SharedWeightStore(self._worker)
        self._programs: weakref.WeakSet[OneflowProgram] = weakref.WeakSet()

    def version(self) -> str:
        return f"oneflow {self._worker.describe()['version']}"

    def unsupported(self, graph: Graph) -> tuple[MissingOp, ...]:
        can = self._worker.describe()
        ops, dtypes, device = frozenset(can["ops"]), frozenset(can["dtypes"]), can["device"]
        refusals = self._worker.refusals(graph)

        def lack(node: Node) -> str | None:
            foreign = {spec.dtype for spec in node.results if spec is not None} - dtypes
            if foreign:
                return f"{node.op} ({', '.join(sorted(foreign))} on {device})"
            return refusals.get(node.name)

        values = _foreign_values(graph, dtypes, device)
        return (*values, *missing_ops(graph, lack, lambda op: _place(op, ops)))

    def build(self, graph: Graph, weights: Tensors, constants: Tensors) -> Program:
        program = OneflowProgram(self, graph, weights, constants)
        self._programs.add(program)
        return program

    def close(self) -> None:
        """The programs and the worker end, and the copies of weights with them."""
        programs = [("a program of oneflow", program.close) for program in self._programs]
        undoing.run_all([*programs, ("the worker of oneflow", self._worker.close)])


class OneflowProgram(Program):
    """One graph in the worker, with its weights in shared memory."""

    def __init__(
        self, engine: OneflowEngine, graph: Graph, weights: Tensors, constants: Tensors
    ) -> None:
        self._engine = engine
        self._graph = graph
        self._constants = [
            constants[value.key].detach().cpu().contiguous().numpy() for value in graph.constants
        ]
        self._lock = fork_safety.reentrant_lock()
        self._remote: RemoteProgram | None = None
        self._homes: list[SharedWeight] = []
        self._copies = Copies([])
        self._process = os.getpid()
        self._ended: weakref.finalize[[], OneflowProgram] | None = None
        self.rebind(weights)

    @property
    def how(self) -> str:
        report = self._remote.report if self._remote is not None else {}
        why = f": {report['why']}" if report.get("why") else ""
        return _MODES.get(report.get("mode", ""), "") + why

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        device = inputs[0].device if inputs else torch.device("cpu")
        with self._lock:
            if self._remote is None:
                raise RunError(
                    "this program was closed",
                    why="its engine was switched off",
                    fix="build it again",
                )
            self._take_edits()
            for place, tensor in zip(self._remote.inputs, inputs, strict=True):
                torch.from_numpy(place).copy_(tensor)
            self._remote.run()
            # Copies: the next call writes its outputs into the same memory.
            outputs = map(torch.from_numpy, self._remote.outputs)
            return [place.to(device, copy=True) for place in outputs]

    def rebind(self, weights: Tensors) -> None:
        tensors = [weights[value.key] for value in self._graph.weights]
        with self._lock:
            self._settle(tensors)

    def close(self) -> None:
        with self._lock:
            if self._ended is not None:
                self._ended()
            self._remote = None
            self._homes, self._copies = [], Copies([])

    def _settle(self, tensors: Sequence[torch.Tensor]) -> None:
        """Read these weights from now on."""
        homes = self._engine._store.settle(tensors)
        if self._remote is not None and list(map(id, homes)) == list(map(id, self._homes)):
            self._take_edits()
            return
        self._homes, self._copies, self._process = homes, Copies(homes), os.getpid()
        self._copies.renew()
        self._place()

    def _take_edits(self) -> None:
        if self._process != os.getpid():
            self._settle([home.live for home in self._homes])
        # The worker's CPU reads the very memory; only a GPU has copies of its own.
        elif self._copies.renew() and self._engine._worker.describe()["device"] != "cpu":
            self._place()

    def _place(self) -> None:
        """Have the worker build the graph over these weights."""
        if self._ended is not None:
            self._ended()
        placed = [home.placed for home in self._homes]
        self._remote = self._engine._worker.build(self._graph, placed, self._constants)
        # Also when nobody closes it: the model is gone, and its programs with it.
        self._ended = weakref.finalize(self, self._remote.close)
        self._ended.atexit = False


def _specification(context: EngineContext) -> WorkerSpec:
    if context.worker is None:
        raise BuildError(
            "the oneflow engine needs a worker environment",
            fix="the backend's yaml names it: `worker: oneflow`",
        )
    options = OneflowOptions.checked(context.options)
    return WorkerSpec(
        name=context.worker.name,
        python=context.worker.python,
        engine=_RUNNER,
        options={**options.for_runner(), "device": context.device},
        build_timeout=options.build_timeout,
        call_timeout=options.call_timeout,
    )


def _foreign_values(graph: Graph, dtypes: frozenset[str], device: str) -> Iterator[MissingOp]:
    """Inputs, weights and constants of dtypes that OneFlow has no kernels for."""
    sites: dict[str, list[CallSite]] = {}
    for value in (*graph.inputs, *graph.weights, *graph.constants):
        if value.spec.dtype not in dtypes:
            site = CallSite(value.key, "", in_words((value.spec,)))
            sites.setdefault(f"{value.spec.dtype} on {device}", []).append(site)
    for what in sorted(sites):
        yield MissingOp(what, tuple(sites[what]))


def _place(op: str, ops: frozenset[str]) -> str:
    """ "" for an op that is there already: OneFlow itself lacks the dtype or the way to call it."""
    known = op.partition(" ")[0] in ops
    return "" if known else lowering_file(op, Path(__file__).parent / "ops")
