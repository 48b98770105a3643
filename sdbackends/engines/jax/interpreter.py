"""A captured graph as a function over JAX arrays.

`GraphInterpreter` walks the nodes once, under `jax.jit`'s trace: every node goes to its lowering,
and its result is held against what the graph recorded: the dtype is enforced (torch and JAX promote
differently, and 64-bit values are 32-bit ones here), the shape is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant
from sdbackends.engines.base import MissingOp
from sdbackends.engines.jax import ops
from sdbackends.engines.jax.layout import Array, Value, cast, laid, logical
from sdbackends.engines.jax.ops import LOWERINGS
from sdbackends.engines.jax.ops.fft import COMPLEX
from sdbackends.engines.jax.options import JaxOptions
from sdbackends.engines.missing import missing_ops
from sdbackends.engines.places import lowering_file
from sdbackends.errors import BuildError
from sdbackends.utils.error_text import in_all_words

#: torch's name of a dtype -> what stands for it inside; JAX computes in 32 bits.
DTYPES: Mapping[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(jnp.bfloat16),
    "int64": np.dtype(np.int32),
    "int32": np.dtype(np.int32),
    "int16": np.dtype(np.int16),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex64),
}
_REAL = DTYPES.keys() - {"complex64", "complex128"}
#: Arguments that say where a tensor lives; a program lives in one place.
_PLACING = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})
_INT32 = np.iinfo(np.int32)


def unsupported(graph: Graph) -> tuple[MissingOp, ...]:
    """Every op without a lowering, or with a dtype that JAX lacks here, with all its sites."""
    return missing_ops(graph, _lack, _place)


def _lack(node: Node) -> str | None:
    known = DTYPES.keys() if node.op in COMPLEX else _REAL
    foreign = {spec.dtype for spec in node.results if spec is not None} - known
    if foreign:
        return f"{node.op} ({', '.join(sorted(foreign))})"
    return None if node.op == "getitem" or node.op in LOWERINGS else node.op


def _place(op: str) -> str:
    return lowering_file(op, Path(ops.__file__).parent)


class GraphInterpreter:
    """The function that `jax.jit` traces: weights, constants and inputs in, outputs out.

    `orders` tells for each weight how its array stands in memory (see `layout.Laid`).
    """

    def __init__(
        self, graph: Graph, choices: JaxOptions, orders: Sequence[tuple[int, ...]]
    ) -> None:
        self.graph = graph
        self.choices = choices
        self.orders = tuple(orders)
        self._last_use = {
            name: node.name for name, users in graph.users().items() for node in users[-1:]
        }
        self._kept = {output.name for output in graph.outputs if isinstance(output, Ref)}

    def __call__(
        self, weights: Sequence[Array], constants: Sequence[Array], inputs: Sequence[Array]
    ) -> list[Array]:
        graph = self.graph
        values: dict[str, Any] = {}
        for value, array, order in zip(graph.weights, weights, self.orders, strict=True):
            values[value.name] = laid(array, order)
        for outside, arrays in ((graph.constants, constants), (graph.inputs, inputs)):
            values.update((v.name, a) for v, a in zip(outside, arrays, strict=True))
        for node in graph.nodes:
            values[node.name] = self._run(node, values)
            for name in node.refs():
                if self._last_use[name] == node.name and name not in self._kept:
                    values.pop(name, None)
        return [logical(values[o.name]) for o in graph.outputs if isinstance(o, Ref)]

    def _run(self, node: Node, values: Mapping[str, Any]) -> Any:
        args = tuple(_argument(a, values) for a in node.args)
        if node.op == "getitem":
            return args[0][args[1]]
        kwargs = {k: _argument(v, values) for k, v in node.kwargs.items() if k not in _PLACING}
        try:
            result = LOWERINGS[node.op](args, kwargs, self.choices)
        except Exception as error:
            raise BuildError(
                f"the lowering of {node.op} failed",
                where=node.site or node.name,
                why=in_all_words(error),
                fix="the model runs on eager torch instead; please report it with this message",
            ) from error
        if not node.several:
            return _as_recorded(result, node.results[0], node)
        return [
            _as_recorded(one, spec, node) for one, spec in zip(result, node.results, strict=True)
        ]


def _argument(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, (list, tuple)):
        return tuple(_argument(a, values) for a in argument)
    if isinstance(argument, TorchConstant):
        return DTYPES[argument.name] if argument.kind == "dtype" else None
    if type(argument) is int:  # 2**63-1 says "to the end" of a 64-bit torch
        return max(_INT32.min, min(argument, _INT32.max))
    return argument


def _as_recorded(result: Value, spec: TensorSpec | None, node: Node) -> Value:
    assert spec is not None, node.op
    if tuple(result.shape) != spec.shape:
        raise BuildError(
            f"the lowering of {node.op} is wrong",
            where=node.site or node.name,
            why=f"it gives the shape {tuple(result.shape)}, torch gives {spec.shape}",
            fix="the model runs on eager torch instead; please report it with this message",
        )
    return cast(result, DTYPES[spec.dtype])
