"""Samples in, the house's capture of them out, each sample with the ATen ops that it uses.

Many samples are captured as one model, because a capture costs a third of a second whatever it
holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture import direct
from sdbackends.capture.graph import Graph, Ref
from sdbackends.errors import CaptureError
from tests.conformance.opinfo.database import Sample


class Samples(torch.nn.Module):
    """Many calls as one model: a list of tensors for each of them in, their results out."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__()
        self.samples = samples

    def forward(self, *groups: list[torch.Tensor]) -> list[Any]:
        pairs = zip(self.samples, groups, strict=True)
        return [sample.call(list(group)) for sample, group in pairs]


@dataclass(frozen=True)
class Traced:
    """One sample as an engine would see it.

    Attributes:
        graph: the nodes that this sample needs, of a capture that may hold others.
        inputs: its tensors that the graph reads, in the order of the graph's inputs.
        result: what the call returns, with a `Ref` for every tensor.
    """

    sample: Sample
    graph: Graph
    inputs: list[torch.Tensor]
    constants: dict[str, torch.Tensor]
    result: Any

    @property
    def ops(self) -> frozenset[str]:
        return frozenset(node.op for node in self.graph.nodes) - {"getitem"}


def traced(samples: Sequence[Sample]) -> Iterator[list[Traced]]:
    """The samples' parts, in one list for each capture; what no capture takes is left out."""
    try:
        captured = direct.capture(Samples(samples), tuple(sample.tensors() for sample in samples))
    except CaptureError:
        if len(samples) > 1:
            middle = len(samples) // 2
            yield from traced(samples[:middle])
            yield from traced(samples[middle:])
        return
    tensors = [tensor for sample in samples for tensor in sample.tensors()]
    results = pytree.tree_unflatten(captured.graph.outputs, captured.out_spec)
    parts = []
    for sample, result in zip(samples, results, strict=True):
        outputs = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Ref)]
        graph = part(captured.graph, outputs)
        inputs = [tensors[int(value.key)] for value in graph.inputs]
        contents = {value.key: captured.constants[value.key] for value in graph.constants}
        parts.append(Traced(sample, graph, inputs, contents, result))
    yield parts


def part(graph: Graph, outputs: Sequence[Ref]) -> Graph:
    """What these outputs need of the graph."""
    needed = {output.name for output in outputs}
    nodes = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.refs())
            nodes.append(node)
    return Graph(
        inputs=tuple(value for value in graph.inputs if value.name in needed),
        weights=(),
        constants=tuple(value for value in graph.constants if value.name in needed),
        nodes=tuple(reversed(nodes)),
        outputs=tuple(outputs),
    )
