"""How much memory an `nn.Graph` of OneFlow's needs on a CPU, from the captured graph alone.

On a CPU an `nn.Graph` keeps a place of its own for the result of every op for as long as it lives;
nothing is used twice. So the estimate is the sum of all results, those that our lowerings make on
the way included. The worker's copy of the weights is not in it: that is made before a graph is
built, so what is free then is what is left besides. This module imports no framework.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec

#: What OneFlow holds for an op besides its result: its task, its actor, its messages (measured).
PER_NODE = 100_000
_BYTES: Mapping[str, int] = {
    "float64": 8,
    "int64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
Specs = Mapping[str, TensorSpec]


def size_of(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * _BYTES.get(spec.dtype, 8)


def graph_bytes(graph: Graph) -> int:
    """What an `nn.Graph` of this graph will hold besides the weights."""
    specs: dict[str, TensorSpec] = {
        value.name: value.spec for value in (*graph.inputs, *graph.weights, *graph.constants)
    }
    total = 2 * sum(size_of(value.spec) for value in graph.inputs)
    for node in graph.nodes:
        if node.results[0] is not None and not node.several:
            specs[node.name] = node.results[0]
        total += _node_bytes(node, specs)
    outputs = {o.name for o in graph.outputs if isinstance(o, Ref)}
    return total + 2 * sum(size_of(specs[name]) for name in outputs if name in specs)


def _node_bytes(node: Node, specs: Specs) -> int:
    if node.op == "getitem":
        return 0
    own = PER_NODE + sum(size_of(spec) for spec in node.results if spec is not None)
    extra = _ON_THE_WAY.get(node.op)
    return own + (extra(node, specs) if extra else 0)


def _operand(node: Node, place: int, specs: Specs) -> TensorSpec | None:
    argument = node.args[place] if place < len(node.args) else None
    return specs.get(argument.name) if isinstance(argument, Ref) else None


def _times(factor: int) -> Callable[[Node, Specs], int]:
    """So many more tensors of the size of the result."""

    def extra(node: Node, specs: Specs) -> int:
        spec = node.results[0]
        return factor * size_of(spec) if spec is not None else 0

    return extra


def _linear(node: Node, specs: Specs) -> int:
    """The bias is added to a result that stays."""
    return _times(1)(node, specs) if _operand(node, 2, specs) is not None else 0


def _convolution(node: Node, specs: Specs) -> int:
    """The gathered patches of the whole batch stand in a buffer, also for a 1x1 kernel; the bias
    is added to it in another shape.
    """
    weight, result = _operand(node, 1, specs), node.results[0]
    if weight is None or result is None:
        return 0
    pixels = math.prod(result.shape[2:])
    patches = math.prod(weight.shape[1:]) * pixels * _BYTES.get(result.dtype, 8)
    bias = 3 * size_of(result) if _operand(node, 2, specs) is not None else 0
    return patches + bias


def _attention(node: Node, specs: Specs) -> int:
    """Scores, their softmax and what a mask adds, and the operands in the product's order."""
    query, key, value = (_operand(node, place, specs) for place in range(3))
    if query is None or key is None or value is None:
        return 0
    scores = math.prod(query.shape[:-1]) * key.shape[-2] * 4
    masked = len(node.args) > 3 and node.args[3] is not None
    causal = len(node.args) > 5 and bool(node.args[5])
    return (4 if masked or causal else 2) * scores + size_of(query) + 2 * size_of(key)


_ON_THE_WAY: Mapping[str, Callable[[Node, Specs], int]] = {
    "aten.group_norm.default": _times(9),
    "aten.layer_norm.default": _times(9),
    "aten.linear.default": _linear,
    "aten.addmm.default": _times(1),
    "aten.conv2d.default": _convolution,
    "aten.convolution.default": _convolution,
    "aten.upsample_nearest2d.vec": _times(1),
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.where.self": _times(1),
}


def free_bytes() -> int:
    """Memory that this machine (or the container's limit) still has for us.

    0 where the system does not say.
    """
    found = [_available(), _left_in_group()]
    known = [amount for amount in found if amount is not None]
    return min(known) if known else 0


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_in_group() -> int | None:
    """A container's own limit, by the second version of control groups."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)
