"""Questions about elements, and choices by their answers: comparisons, logic, where."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.precision import in_float32
from sdbackends.engines.jax.ops.registry import elementwise

_UNARY: dict[str, Callable[..., Array]] = {
    "bitwise_not": jnp.invert,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "logical_not": jnp.logical_not,
}
_BINARY: dict[str, Callable[..., Array]] = {
    "bitwise_and": jnp.bitwise_and,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_xor": jnp.bitwise_xor,
    "eq": jnp.equal,
    "ge": jnp.greater_equal,
    "gt": jnp.greater,
    "le": jnp.less_equal,
    "lt": jnp.less,
    "ne": jnp.not_equal,
}
for _name, _function in _UNARY.items():
    elementwise(f"aten.{_name}.default")(in_float32(_function))
for _name, _function in _BINARY.items():
    elementwise(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(in_float32(_function))
elementwise("aten.logical_and.default")(jnp.logical_and)
elementwise("aten.logical_or.default")(jnp.logical_or)
elementwise("aten.logical_xor.default")(jnp.logical_xor)
elementwise("aten.where.self")(jnp.where)
