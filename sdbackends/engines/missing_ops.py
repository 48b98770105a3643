"""Find the ops of a graph that an engine lacks: each once, with every place that calls it.

An engine says of one node what is missing there; this walks the graph and gathers. It imports no
framework, so that every engine can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec
from sdbackends.engines.base import CallSite, MissingOp


def missing_ops(
    graph: Graph,
    lack: Callable[[Node], str | None],
    place: Callable[[str], str] = lambda op: "",
) -> tuple[MissingOp, ...]:
    """Every op that `lack` names, in alphabetical order.

    Args:
        lack: what an engine lacks at a node: None, or the op's name as it is to be reported.
        place: for such a name, the file where a lowering of it goes; "": there is none.
    """
    specs = graph.specs()
    sites: dict[str, list[CallSite]] = {}
    for node in graph.nodes:
        name = lack(node)
        if name is not None:
            takes = in_words(_inputs((*node.args, *node.kwargs.values()), specs))
            sites.setdefault(name, []).append(CallSite(node.site, takes, in_words(node.results)))
    return tuple(MissingOp(op, tuple(sites[op]), place(op)) for op in sorted(sites))


def in_words(specs: Sequence[TensorSpec | None]) -> str:
    """`float32[2, 320, 8, 8], int64[2]`; what is no tensor is left out."""
    found = (spec for spec in specs if spec is not None)
    return ", ".join(f"{spec.dtype}[{', '.join(map(str, spec.shape))}]" for spec in found)


def _inputs(arguments: Any, specs: Mapping[str, TensorSpec | None]) -> tuple[TensorSpec, ...]:
    def walk(values: Any) -> Iterator[TensorSpec]:
        for value in values:
            if isinstance(value, Ref):
                spec = specs.get(value.name)
                if spec is not None:
                    yield spec
            elif isinstance(value, (list, tuple)):
                yield from walk(value)

    return tuple(walk(arguments))
