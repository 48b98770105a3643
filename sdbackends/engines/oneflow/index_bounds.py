"""A look at the positions that a graph takes from its inputs, before an `nn.Graph` is called.

A position out of range makes OneFlow give zeros or abort the process (see `ops/indices.py`).
Eager replay looks at each where it is used. An `nn.Graph` cannot, so the nodes that lead from the
inputs to a position (mostly none: token ids are used as they are) are replayed beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec
from sdbackends.engines.oneflow.interpreter import OneflowInterpreter
from sdbackends.engines.oneflow.ops.indices import check
from sdbackends.engines.oneflow.ops.tensors import Tensor

#: Elements that may be computed for the look; position ids of a text encoder are thousands.
AFFORDABLE = 2**22


@dataclass(frozen=True)
class IndexRange:
    """One argument that holds positions: `low <= value < high` must be true of each."""

    name: str
    low: int
    high: int
    node: Node


class IndexBounds:
    """Everything to be looked at in one graph.

    Attributes:
        too_far: why some position cannot be looked at beforehand; "" if all can.
    """

    def __init__(self, graph: Graph, device: object) -> None:
        self._positions = list(_positions(graph))
        leading = _leading_to(graph, {p.name for p in self._positions})
        outputs = tuple(dict.fromkeys(p.name for p in self._positions))
        self._graph = Graph(
            graph.inputs, graph.weights, graph.constants, leading, tuple(map(Ref, outputs))
        )
        self._replay = OneflowInterpreter(self._graph, device)
        elements = sum(math.prod(s.shape) for n in leading for s in n.results if s is not None)
        self.too_far = ""
        if elements > AFFORDABLE:
            node = self._positions[0].node
            self.too_far = f"the positions of {node.op} in {node.site} come out of the model itself"

    def look(
        self, weights: Sequence[Tensor], constants: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> None:
        """Raise IndexError where a position is out of range."""
        if not self._positions:
            return
        values = self._replay(weights, constants, inputs)
        named = {
            ref.name: value.numpy() for ref, value in zip(self._graph.outputs, values, strict=True)
        }
        for position in self._positions:
            _check(named[position.name], position)


def _check(values: np.ndarray, position: IndexRange) -> None:
    if not values.size:
        return
    node = position.node
    try:
        check(int(values.min()), int(values.max()), position.low, position.high)
    except IndexError as error:
        raise IndexError(f"{error} ({node.op} in {node.site or node.name})") from None


def _positions(graph: Graph) -> Iterator[IndexRange]:
    specs: dict[str, TensorSpec] = {
        v.name: v.spec for v in (*graph.inputs, *graph.weights, *graph.constants)
    }
    for node in graph.nodes:
        yield from _positions_of(node, specs)
        for i, spec in enumerate(node.results):
            if spec is not None and not (node.several and i):
                specs[node.name] = spec


def _positions_of(node: Node, specs: dict[str, TensorSpec]) -> Iterator[IndexRange]:
    if node.op == "aten.embedding.default":
        rows = specs[node.args[0].name].shape[0]
        yield IndexRange(node.args[1].name, 0, rows, node)
    elif node.op in _ALONG_ONE_AXIS:
        shape = specs[node.args[0].name].shape
        if shape:
            yield IndexRange(node.args[2].name, 0, shape[node.args[1]], node)
    elif node.op in ("aten.index.Tensor", "aten.index_put.default"):
        shape = specs[node.args[0].name].shape
        for size, index in zip(shape, node.args[1], strict=False):
            if isinstance(index, Ref):
                yield IndexRange(index.name, -size, size, node)


_ALONG_ONE_AXIS = frozenset(
    {
        "aten.index_select.default",
        "aten.gather.default",
        "aten.scatter.src",
        "aten.scatter.value",
    }
)


def _leading_to(graph: Graph, names: set[str]) -> tuple[Node, ...]:
    """The nodes that some of the names are computed by, in order."""
    needed = set(names)
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.refs())
            kept.append(node)
    return tuple(reversed(kept))
