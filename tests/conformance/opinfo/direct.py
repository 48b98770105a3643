"""An ATen overload called directly: a graph of one node, made without a capture.

For overloads that come out of a capture, but of none of OpInfo's samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant, Value
from tests.conformance.opinfo.database import Sample
from tests.conformance.opinfo.tracing import Traced


def call(overload: str, args: Sequence[Any], kwargs: dict[str, Any], number: int = 0) -> Traced:
    """The overload on these arguments, the first of which decides what dtype it is judged by."""
    leaves, spec = pytree.tree_flatten((args[0], tuple(args[1:]), kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    dtype = _name(tensors[0].dtype) if tensors else "float32"
    sample = Sample(f"{overload}/{dtype}/{number}", _function(overload), tuple(leaves), spec)
    inputs = tuple(
        Value(f"in_{number}_{i}", str(i), _spec(tensor)) for i, tensor in enumerate(tensors)
    )
    refs = iter([Ref(value.name) for value in inputs])
    words = pytree.tree_map(lambda leaf: _argument(leaf, refs), (tuple(args), kwargs))
    result = sample.call([tensor.clone() for tensor in tensors])
    several = not isinstance(result, torch.Tensor)
    specs = tuple(_spec(one) for one in pytree.tree_leaves(result))
    node = Node(f"op_{number}", overload, _tuples(words[0]), words[1], specs, several, "")
    nodes, outputs = [node], [Ref(node.name)]
    if several:
        takes = [
            Node(f"op_{number}_{i}", "getitem", (Ref(node.name), i), {}, (one,), False, "")
            for i, one in enumerate(specs)
        ]
        nodes, outputs = [node, *takes], [Ref(take.name) for take in takes]
    graph = Graph(inputs, (), (), tuple(nodes), tuple(outputs))
    return Traced(sample, graph, tensors, {}, list(outputs))


def _function(overload: str) -> Any:
    namespace, op, name = overload.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), op), name)


def _argument(leaf: Any, refs: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return next(refs)
    return TorchConstant("dtype", _name(leaf)) if isinstance(leaf, torch.dtype) else leaf


def _tuples(value: Any) -> Any:
    """Lists as the capture writes them."""
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _spec(tensor: torch.Tensor) -> TensorSpec:
    return TensorSpec(tuple(tensor.shape), _name(tensor.dtype))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
