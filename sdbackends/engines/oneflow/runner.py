"""Runs captured graphs on OneFlow, inside the worker.

`create` is what the worker calls first. An `OneflowRunner` builds graphs over weights that stand in
memory shared with torch's process: as an `nn.Graph` where its memory fits, else to be replayed op
by op.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oneflow as flow

from sdbackends.capture.graph import Graph
from sdbackends.engines.oneflow import device as devices
from sdbackends.engines.oneflow import dtypes, memory
from sdbackends.engines.oneflow.graph_pool import Pool
from sdbackends.engines.oneflow.index_bounds import IndexBounds
from sdbackends.engines.oneflow.ops import LOWERINGS
from sdbackends.engines.oneflow.programs import (
    Arrays,
    EagerProgram,
    GraphProgram,
    Material,
    NotCompiledError,
    OneflowLoaded,
)
from sdbackends.errors import UsageError

_OPTIONS = frozenset({"mode", "graph_memory_limit", "device", "threads"})


def create(options: Mapping[str, Any]) -> OneflowRunner:
    """A runner for these options, whose values come checked from the client.

    `mode`: "graph" or "eager"; `graph_memory_limit`: bytes, or "auto" for half of what is free;
    `device`: None, "cpu", "cuda", "cuda:1"; `threads`: None for OneFlow's own choice.

    Raises:
        UsageError: an option is unknown.
        BackendNotReadyError: OneFlow cannot run on the device that was asked for.
    """
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise UsageError(
            f"the OneFlow runner has no option {unknown[0]!r}",
            fix=f"accepted: {', '.join(sorted(_OPTIONS))}",
        )
    if options.get("threads") is not None:
        flow.set_num_threads(options["threads"])
    chosen = devices.choose(options.get("device"), flow)
    return OneflowRunner(
        options.get("mode", "graph"), options.get("graph_memory_limit", "auto"), chosen
    )


class OneflowRunner:
    """OneFlow on one device, with the graphs that it has compiled."""

    def __init__(self, mode: str, limit: int | str, chosen: devices.Chosen) -> None:
        self._mode, self._limit, self._chosen = mode, limit, chosen
        self._device = flow.device(chosen.name)
        self._pool = Pool()

    def describe(self) -> dict[str, Any]:
        """`note` says why there is no card in use where there is one."""
        return {
            "version": flow.__version__,
            "device": self._chosen.name,
            "note": self._chosen.note,
            "ops": sorted(LOWERINGS),
            "dtypes": list(dtypes.on(self._device.type)),
        }

    def refusals(self, graph: Graph) -> dict[str, str]:
        """Why nodes cannot be run, by their names: no lowering, or none for their arguments."""
        specs = graph.specs()
        found = ((node.name, LOWERINGS.refusal(node, specs)) for node in graph.nodes)
        return {name: why for name, why in found if why is not None}

    def build(self, graph: Graph, weights: Arrays, constants: Arrays) -> OneflowLoaded:
        """The graph as something to be called.

        Raises:
            BuildError: a lowering failed.
        """
        key = self._pool.key(graph, weights, constants)
        if (waiting := self._pool.returning(key)) is not None:
            return waiting
        estimate = memory.graph_bytes(graph)
        report = {"estimate_bytes": estimate, "nodes": len(graph.nodes)}
        material = Material.of(graph, self._device, weights, constants)
        if self._mode == "eager":
            return EagerProgram(material, report)
        guard = IndexBounds(graph, self._device)
        why = self._against(graph, guard, estimate)
        if not why:
            try:
                compiled = GraphProgram(material, report, guard, self._pool.leave)
            except NotCompiledError as error:
                why = f"OneFlow refused the nn.Graph: {error}"
                self._pool.broken = "OneFlow aborts after an nn.Graph that it refused"
            else:
                self._pool.enter(key, compiled, estimate)
                return compiled
        return EagerProgram(material, {**report, "why": why})

    def _against(self, graph: Graph, guard: IndexBounds, estimate: int) -> str:
        """Why this graph is replayed instead; "" if an `nn.Graph` is right."""
        if not graph.inputs or not graph.nodes:
            return "an nn.Graph needs an input and an op"
        if _has_empty(graph):
            return "an nn.Graph takes no tensor without elements"
        if self._pool.broken or guard.too_far:
            return self._pool.broken or guard.too_far
        if self._device.type != "cpu":
            return ""  # there memory is used again, and OneFlow raises when it runs out
        taken = self._pool.taken
        # What is taken is not free any more, so it belongs to the half as well.
        auto = (memory.free_bytes() + taken) // 2
        limit = auto if self._limit == "auto" else int(self._limit)
        if estimate + taken <= limit:
            return ""
        others = f" beside the {_gigabytes(taken)} of other graphs" if taken else ""
        wanted = f"nn.Graph would need {_gigabytes(estimate)}{others}"
        return f"{wanted}, the limit is {_gigabytes(limit)}"


def _has_empty(graph: Graph) -> bool:
    outside = (*graph.inputs, *graph.weights, *graph.constants)
    specs = [value.spec for value in outside]
    specs += [spec for node in graph.nodes for spec in node.results if spec is not None]
    return any(0 in spec.shape for spec in specs)


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB" if amount >= 10**8 else f"{amount / 1e6:.1f} MB"
