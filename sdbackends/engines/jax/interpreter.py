"""A captured graph as a function over JAX arrays, to be traced by `jax.jit`.

64-bit values are 32-bit ones here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from sdbackends.capture.graph import Graph, Node, TensorSpec
from sdbackends.engines.base import MissingOp
from sdbackends.engines.jax import ops
from sdbackends.engines.jax.layout import Array, Value, cast, logical, with_order
from sdbackends.engines.jax.ops import LOWERINGS
from sdbackends.engines.jax.ops.fft import COMPLEX
from sdbackends.engines.jax.options import JaxOptions
from sdbackends.engines.lowering.interpreter import GraphInterpreter
from sdbackends.engines.missing_ops import missing_ops
from sdbackends.engines.places import lowering_file

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
_INT32 = np.iinfo(np.int32)


def unsupported(graph: Graph) -> tuple[MissingOp, ...]:
    """Every op that has no lowering for its arguments or dtypes, with all its sites."""
    specs = graph.specs()
    return missing_ops(graph, lambda node: _lack(node, specs), _place)


def _lack(node: Node, specs: Mapping[str, TensorSpec | None]) -> str | None:
    known = DTYPES.keys() if node.op in COMPLEX else _REAL
    foreign = {spec.dtype for spec in node.results if spec is not None} - known
    if foreign:
        return f"{node.op} ({', '.join(sorted(foreign))})"
    return LOWERINGS.refusal(node, specs)


def _place(op: str) -> str:
    return lowering_file(op, Path(ops.__file__).parent)


class JaxInterpreter(GraphInterpreter):
    """The function that `jax.jit` traces.

    `orders` tells for each weight how its array stands in memory (see `layout.TaggedArray`).
    """

    def __init__(
        self, graph: Graph, choices: JaxOptions, orders: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__(graph)
        self.choices = choices
        self.orders = tuple(orders)

    def __call__(
        self, weights: Sequence[Array], constants: Sequence[Array], inputs: Sequence[Array]
    ) -> list[Array]:
        tagged = [
            with_order(array, order) for array, order in zip(weights, self.orders, strict=True)
        ]
        return [logical(value) for value in super().__call__(tagged, constants, inputs)]

    def lower(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return LOWERINGS[node.op](args, kwargs, self.choices)

    def dtype(self, name: str) -> np.dtype:
        return DTYPES[name]

    def cast(self, value: Value, dtype: np.dtype) -> Value:
        return cast(value, dtype)

    def number(self, value: int) -> int:
        """2**63-1 says "to the end" of a 64-bit torch."""
        return max(_INT32.min, min(value, _INT32.max))
