"""Runs captured graphs on OneFlow, inside the worker.

`create` is what the worker calls first; a `Runner` builds graphs over weights that stand in memory
shared with torch's process, and a `Loaded` is one such graph: an `nn.Graph` where its memory fits,
else the nodes replayed one by one. OneFlow is never let near that memory with anything that writes:
inputs are copied on the way in (an `nn.Graph` overwrites an input that is not contiguous), outputs
on the way out.
"""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.capture.graph import Graph, Ref, TensorSpec, Value
from sdbackends.engines.oneflow import device as devices
from sdbackends.engines.oneflow import dtypes, memory
from sdbackends.engines.oneflow.guards import Guard
from sdbackends.engines.oneflow.lowering import LOWERINGS
from sdbackends.engines.oneflow.lowering.tensors import Tensor
from sdbackends.engines.oneflow.translate import Translation
from sdbackends.errors import BuildError, UsageError

Arrays = Sequence[np.ndarray]
_OPTIONS = frozenset({"mode", "graph_memory_limit", "device", "threads"})


def create(options: Mapping[str, Any]) -> Runner:
    """A runner for these options, which come checked from the client.

    `mode`: "graph" or "eager"; `graph_memory_limit`: bytes, or "auto" for half of what is free;
    `device`: None, "cpu", "cuda", "cuda:1"; `threads`: None for OneFlow's own choice.
    """
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise UsageError(
            f"the OneFlow runner has no option {unknown[0]!r}",
            mend=f"accepted: {', '.join(sorted(_OPTIONS))}",
        )
    threads = options.get("threads")
    if threads is not None:
        flow.set_num_threads(threads)
    chosen = devices.choose(options.get("device"), flow)
    return Runner(options.get("mode", "graph"), options.get("graph_memory_limit", "auto"), chosen)


class Runner:
    """OneFlow on one device, and how much memory its living graphs have taken."""

    def __init__(self, mode: str, limit: int | str, chosen: devices.Chosen) -> None:
        self.mode, self.limit, self.chosen = mode, limit, chosen
        self.device = flow.device(chosen.name)
        self._living: dict[int, int] = {}

    def describe(self) -> dict[str, Any]:
        return {
            "version": flow.__version__,
            "device": self.chosen.name,
            "note": self.chosen.note,
            "ops": sorted([*LOWERINGS, "getitem"]),
            "dtypes": list(dtypes.on(self.device.type)),
        }

    def build(self, graph: Graph, weights: Arrays, constants: Arrays) -> Loaded:
        """The graph as something to be called.

        Raises:
            BuildError: a lowering failed, or OneFlow refused the graph.
        """
        estimate = memory.graph_bytes(graph)
        held = [_shared(array, self.device) for array in weights]
        fixed = [_copied(array, self.device) for array in constants]
        guard = Guard(graph, self.device)
        why = self._against_a_graph(graph, guard, estimate)
        report: dict[str, Any] = {"estimate_bytes": estimate, "nodes": len(graph.nodes)}
        if why is not None:
            report.update({"mode": "eager", "why": why} if why else {"mode": "eager"})
            return Replayed(graph, self.device, held, fixed, report)
        report["mode"] = "graph"
        return Compiled(graph, self.device, held, fixed, report, guard, self._living)

    def _against_a_graph(self, graph: Graph, guard: Guard, estimate: int) -> str | None:
        """Why this one is replayed instead; None if an `nn.Graph` is right, "" if by wish."""
        if self.mode == "eager":
            return ""
        if not graph.inputs or not graph.nodes:
            return "an nn.Graph needs an input and an op"
        if guard.too_far:
            return guard.too_far
        if self.device.type != "cpu":
            return None  # there memory is used again, and OneFlow raises when it runs out
        taken = sum(self._living.values())
        limit = memory.free_bytes() // 2 if self.limit == "auto" else int(self.limit)
        if estimate + taken <= limit:
            return None
        others = f" beside {_gigabytes(taken)} of other graphs" if taken else ""
        return (
            f"nn.Graph would need {_gigabytes(estimate)}{others}, the limit is {_gigabytes(limit)}"
        )


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB"


class Loaded(ABC):
    """One graph with its weights, ready to be called."""

    def __init__(
        self,
        graph: Graph,
        device: Any,
        weights: list[Tensor],
        constants: list[Tensor],
        report: dict[str, Any],
    ) -> None:
        self.graph, self.device, self.report = graph, device, report
        self._weights, self._constants = weights, constants

    def __call__(self, inputs: Arrays, outputs: Arrays) -> None:
        """Run on the inputs and fill the outputs, one for each `Ref` among the graph's outputs."""
        for value, array in zip(self.graph.inputs, inputs, strict=True):
            _expect(value, array)
        with flow.no_grad():
            results = self._run([_copied(array, self.device) for array in inputs])
            for result, output in zip(results, outputs, strict=True):
                np.copyto(output, result.contiguous().numpy(), casting="no")

    @abstractmethod
    def _run(self, inputs: list[Tensor]) -> list[Tensor]:
        """The outputs as tensors."""

    def close(self) -> None:
        """Let go of everything; the memory is free when this returns."""
        self._weights, self._constants = [], []


class Replayed(Loaded):
    """The nodes one after the other, each value freed after its last use."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._translation = Translation(self.graph, self.device)

    def _run(self, inputs: list[Tensor]) -> list[Tensor]:
        return self._translation(self._weights, self._constants, inputs)


class Compiled(Loaded):
    """An `nn.Graph`, compiled when it is made."""

    def __init__(
        self,
        graph: Graph,
        device: Any,
        weights: list[Tensor],
        constants: list[Tensor],
        report: dict[str, Any],
        guard: Guard,
        living: dict[int, int],
    ) -> None:
        super().__init__(graph, device, weights, constants, report)
        self._guard, self._living = guard, living
        computed = {node.name for node in graph.nodes}
        #: Outputs that are computed; one that only passes through never enters the nn.Graph.
        self._computed = tuple(
            dict.fromkeys(o for o in graph.outputs if isinstance(o, Ref) and o.name in computed)
        )
        inside = Graph(graph.inputs, graph.weights, graph.constants, graph.nodes, self._computed)
        self._program: flow.nn.Graph | None = _Program(Translation(inside, device), self)
        examples = [_copied(np.zeros(v.spec.shape, v.spec.dtype), device) for v in graph.inputs]
        try:
            with flow.no_grad():
                self._program._compile(*examples)
        except BuildError:
            raise
        except Exception as error:
            raise BuildError(
                "OneFlow could not compile the nn.Graph",
                why=f"{type(error).__name__}: {' '.join(str(error).split())[:500]}",
                mend="SD_BACKEND=oneflow-eager replays the model op by op",
            ) from error
        living[id(self)] = report["estimate_bytes"]

    def _run(self, inputs: list[Tensor]) -> list[Tensor]:
        self._guard.look(self._weights, self._constants, inputs)
        assert self._program is not None
        given: dict[str, Tensor] = {
            value.name: tensor
            for values, tensors in (
                (self.graph.weights, self._weights),
                (self.graph.constants, self._constants),
                (self.graph.inputs, inputs),
            )
            for value, tensor in zip(values, tensors, strict=True)
        }
        results = self._program(*inputs) if self._computed else []
        given.update((ref.name, t) for ref, t in zip(self._computed, results, strict=True))
        return [given[o.name] for o in self.graph.outputs if isinstance(o, Ref)]

    def close(self) -> None:
        super().close()
        self._program = None
        self._living.pop(id(self), None)
        gc.collect()  # an nn.Graph stands in a ring of references


class _Program(flow.nn.Graph):  # type: ignore[misc]  # OneFlow has no types
    """The nn.Graph: weights and constants are tensors that it finds outside and keeps."""

    def __init__(self, translation: Translation, loaded: Compiled) -> None:
        super().__init__()
        self._translation = translation
        self._outside = (loaded._weights, loaded._constants)

    def build(self, *inputs: Tensor) -> list[Tensor]:
        weights, constants = self._outside
        return self._translation(weights, constants, inputs)


def _shared(array: np.ndarray, device: Any) -> Tensor:
    """The array's own memory on a CPU, so that an edit there is seen by the next call."""
    tensor = flow.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device)


def _copied(array: np.ndarray, device: Any) -> Tensor:
    """Contiguous and in memory of its own."""
    tensor = flow.from_numpy(np.array(array, order="C"))
    return tensor if device.type == "cpu" else tensor.to(device)


def _expect(value: Value, array: np.ndarray) -> None:
    given = TensorSpec(tuple(array.shape), array.dtype.name)
    if given != value.spec:
        raise ValueError(f"input {value.key} is {given}, the graph was captured with {value.spec}")
