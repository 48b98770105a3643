"""One captured graph with its weights, ready to be called: replayed op by op, or an `nn.Graph`.

OneFlow is never let near the shared memory with anything that writes: inputs are copied on the way
in (an `nn.Graph` overwrites an input that is not contiguous), outputs on the way out. The weights
alone are the shared memory itself: what torch's process writes there the next call sees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.capture.graph import Graph, Ref, TensorSpec, Value
from sdbackends.engines.oneflow.index_bounds import IndexBounds
from sdbackends.engines.oneflow.interpreter import OneflowInterpreter
from sdbackends.engines.oneflow.ops.tensors import Tensor
from sdbackends.errors import BuildError
from sdbackends.utils.error_text import text_of

Arrays = Sequence[np.ndarray]


class NotCompiledError(Exception):
    """OneFlow refused to compile an `nn.Graph`; it will abort when it is given another one."""


@dataclass(frozen=True)
class Material:
    """What a graph is built from, on its device."""

    graph: Graph
    device: Any
    weights: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]

    @classmethod
    def of(cls, graph: Graph, device: Any, weights: Arrays, constants: Arrays) -> Material:
        return cls(
            graph,
            device,
            tuple(shared(array, device) for array in weights),
            tuple(copied(array, device) for array in constants),
        )


def shared(array: np.ndarray, device: Any) -> Tensor:
    """The array's own memory on a CPU; elsewhere a copy."""
    if not array.flags.c_contiguous:  # OneFlow would make it so in place
        raise ValueError("a weight in shared memory must be contiguous")
    tensor = flow.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.to(device)


def copied(array: np.ndarray, device: Any) -> Tensor:
    """Contiguous and in memory of its own."""
    tensor = flow.from_numpy(np.array(array, order="C"))
    return tensor if device.type == "cpu" else tensor.to(device)


class OneflowLoaded(ABC):
    """One graph with its weights, ready to be called.

    Attributes:
        report: {"mode", "estimate_bytes", "nodes"}, and "why" where the mode was not wished for.
    """

    def __init__(self, material: Material, report: dict[str, Any]) -> None:
        self.material: Material | None = material
        self.report = report

    def __call__(self, inputs: Arrays, outputs: Arrays) -> None:
        """Run on the inputs and fill the outputs, one for each `Ref` among the graph's outputs.

        Raises:
            IndexError: a position that comes from the inputs is out of range.
            ValueError: an input is not what the graph was captured with.
        """
        assert self.material is not None, "closed"
        graph, device = self.material.graph, self.material.device
        for value, array in zip(graph.inputs, inputs, strict=True):
            _expect(value, array)
        with flow.no_grad():
            results = self._run(self.material, [copied(array, device) for array in inputs])
            for result, output in zip(results, outputs, strict=True):
                np.copyto(output, result.contiguous().numpy(), casting="no")

    @abstractmethod
    def _run(self, material: Material, inputs: list[Tensor]) -> list[Tensor]:
        """The outputs as tensors."""

    def close(self) -> None:
        """Let go of the weights; the program is not called again."""
        self.material = None


class EagerProgram(OneflowLoaded):
    """The nodes one after the other, each value freed after its last use."""

    def __init__(self, material: Material, report: dict[str, Any]) -> None:
        super().__init__(material, {**report, "mode": "eager"})
        self._translation = OneflowInterpreter(material.graph, material.device)

    def _run(self, material: Material, inputs: list[Tensor]) -> list[Tensor]:
        return self._translation(material.weights, material.constants, inputs)


class GraphProgram(OneflowLoaded):
    """An `nn.Graph`, compiled when it is made. `closed` is called instead of letting it die.

    Raises:
        BuildError: a lowering failed.
        NotCompiledError: OneFlow refused the graph.
    """

    def __init__(
        self,
        material: Material,
        report: dict[str, Any],
        guard: IndexBounds,
        closed: Callable[[GraphProgram], None],
    ) -> None:
        super().__init__(material, {**report, "mode": "graph"})
        self._guard, self._closed = guard, closed
        computed = {node.name for node in material.graph.nodes}
        # An output that only passes through never enters the nn.Graph.
        self._computed = tuple(
            dict.fromkeys(
                o for o in material.graph.outputs if isinstance(o, Ref) and o.name in computed
            )
        )
        self._program = _compiled(material, self._computed)

    def _run(self, material: Material, inputs: list[Tensor]) -> list[Tensor]:
        graph = material.graph
        self._guard.look(material.weights, material.constants, inputs)
        given: dict[str, Tensor] = {
            value.name: tensor
            for values, tensors in (
                (graph.weights, material.weights),
                (graph.constants, material.constants),
                (graph.inputs, inputs),
            )
            for value, tensor in zip(values, tensors, strict=True)
        }
        results = self._program(*inputs) if self._computed else []
        given.update((ref.name, t) for ref, t in zip(self._computed, results, strict=True))
        return [given[o.name] for o in graph.outputs if isinstance(o, Ref)]

    def close(self) -> None:
        self._closed(self)

    def destroy(self) -> None:
        """For good. The weights are free then; what the graph computed with is not."""
        self.material = self._program = None


class _Program(flow.nn.Graph):  # type: ignore[misc]  # OneFlow has no types
    """The nn.Graph: weights and constants are tensors that it finds outside and keeps."""

    def __init__(self, inside: Graph, material: Material) -> None:
        super().__init__()
        self._translation = OneflowInterpreter(inside, material.device)
        self._outside = (material.weights, material.constants)

    def build(self, *inputs: Tensor) -> list[Tensor]:
        weights, constants = self._outside
        return self._translation(weights, constants, inputs)


def _compiled(material: Material, outputs: tuple[Ref, ...]) -> Any:
    """The nn.Graph, compiled with zeros in the place of the inputs; nothing is run yet."""
    graph = material.graph
    inside = Graph(graph.inputs, graph.weights, graph.constants, graph.nodes, outputs)
    program = _Program(inside, material)
    zeros = [np.zeros(value.spec.shape, value.spec.dtype) for value in graph.inputs]
    try:
        with flow.no_grad():
            program._compile(*(copied(array, material.device) for array in zeros))
    except BuildError:
        raise
    except Exception as error:
        text = " ".join(text_of(error).split())[:300]
        raise NotCompiledError(f"{type(error).__name__}: {text}") from error
    return program


def _expect(value: Value, array: np.ndarray) -> None:
    given = TensorSpec(tuple(array.shape), array.dtype.name)
    if given != value.spec:
        raise ValueError(f"input {value.key} is {given}, the graph was captured with {value.spec}")
