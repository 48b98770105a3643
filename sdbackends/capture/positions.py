"""Inputs of a graph that are positions in something: token ids, class labels.

Eager torch raises an IndexError for one that is out of range (a prompt with a word that was added
to the tokenizer and not to the text encoder). Compiled programs do not look: XLA takes the nearest
row. So they are looked at before a program runs. Positions that the model computes are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec

#: Results hold values of the first argument, and no others.
_SAME_VALUES = frozenset(
    f"aten.{name}"
    for name in (
        "view.default",
        "reshape.default",
        "_unsafe_view.default",
        "unsqueeze.default",
        "squeeze.dim",
        "squeeze.dims",
        "expand.default",
        "permute.default",
        "transpose.int",
        "slice.Tensor",
        "select.int",
        "clone.default",
        "alias.default",
        "_to_copy.default",
        "repeat.default",
    )
)
_ALONG_ONE_AXIS = frozenset({"aten.index_select.default", "aten.gather.default"})


@dataclass(frozen=True)
class Position:
    """An input whose elements must be `low <= element < high`; all are looked at, used or not.

    Attributes:
        place: which of the graph's inputs.
        node: the call that takes them as positions.
    """

    place: int
    low: int
    high: int
    node: Node

    def fault(self, inputs: Sequence[torch.Tensor]) -> str:
        """What is out of range, in words; "" if nothing is."""
        values = inputs[self.place]
        if not values.numel():
            return ""
        least, greatest = map(int, values.aminmax())
        if self.low <= least and greatest < self.high:
            return ""
        wrong = least if least < self.low else greatest
        where = f" in {self.node.site}" if self.node.site else ""
        return f"position {wrong} of {self.high} ({self.node.op}{where})"


def positions(graph: Graph) -> list[Position]:
    """Those among the graph's inputs of integers."""
    # By the name of a value: the input whose elements it holds.
    origins = {
        value.name: place
        for place, value in enumerate(graph.inputs)
        if value.spec.dtype.startswith("int")  # torch takes uint8 for a mask
    }
    found: dict[tuple[int, int, int], Position] = {}
    specs = graph.specs()
    for node in graph.nodes:
        if node.op in _SAME_VALUES and isinstance(node.args[0], Ref):
            origin, spec = origins.get(node.args[0].name), node.results[0]
            if origin is not None and spec is not None and spec.dtype.startswith("int"):
                origins[node.name] = origin
        for name, low, high in _positions_of(node, specs):
            if name in origins:
                place = origins[name]
                found.setdefault((place, low, high), Position(place, low, high, node))
    return list(found.values())


def _positions_of(
    node: Node, specs: Mapping[str, TensorSpec | None]
) -> Iterator[tuple[str, int, int]]:
    """Name of the index, and the range that its elements must be in."""

    def shape(of: object) -> tuple[int, ...]:
        spec = specs.get(of.name) if isinstance(of, Ref) else None
        return spec.shape if spec is not None else ()

    def name(of: object) -> str:
        return of.name if isinstance(of, Ref) else ""

    if node.op == "aten.embedding.default" and shape(node.args[0]):
        yield name(node.args[1]), 0, shape(node.args[0])[0]
    elif node.op in _ALONG_ONE_AXIS and shape(node.args[0]):
        yield name(node.args[2]), 0, shape(node.args[0])[node.args[1]]
    elif node.op == "aten.index.Tensor":
        for size, index in zip(shape(node.args[0]), node.args[1], strict=False):
            yield name(index), -size, size
