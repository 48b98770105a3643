"""Arithmetic, element by element, on two tensors or a tensor and a number.

The result's dtype is torch's, not JAX's: it is enforced from the graph after every node, so a
lowering only has to compute in a dtype that is wide enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sdbackends.engines.jax.layout import Array, Number, Operand
from sdbackends.engines.jax.ops.precision import in_float32
from sdbackends.engines.jax.ops.registry import elementwise

_BINARY: dict[str, Callable[..., Array]] = {
    "fmod": jnp.fmod,
    "mul": jnp.multiply,
    "remainder": jnp.remainder,
}
for _name, _function in _BINARY.items():
    elementwise(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(in_float32(_function))
elementwise("aten.maximum.default")(jnp.maximum)
elementwise("aten.minimum.default")(jnp.minimum)
elementwise("aten.atan2.default")(in_float32(jnp.arctan2))


@elementwise("aten.add.Tensor", "aten.add.Scalar")
@in_float32
def add(x: Operand, other: Operand, alpha: Number = 1) -> Any:
    return jnp.add(x, other if alpha == 1 else other * alpha)


@elementwise("aten.sub.Tensor", "aten.sub.Scalar")
@in_float32
def sub(x: Operand, other: Operand, alpha: Number = 1) -> Any:
    return jnp.subtract(x, other if alpha == 1 else other * alpha)


@elementwise("aten.div.Tensor", "aten.div.Scalar")
def div(x: Array, other: Operand) -> Array:
    return jnp.true_divide(x, other)


@elementwise("aten.div.Tensor_mode", "aten.div.Scalar_mode")
@in_float32
def div_mode(x: Array, other: Operand, *, rounding_mode: str | None) -> Array:
    if rounding_mode == "floor":
        return jnp.floor_divide(x, other)
    if rounding_mode is None:
        return div(x, other)
    if jnp.issubdtype(jnp.result_type(x, other), jnp.integer):
        return _trunc_int(x, other)
    return jnp.trunc(jnp.true_divide(x, other))


def _trunc_int(x: Array, other: Operand) -> Array:
    """C's integer division: towards zero, without a detour over floats."""
    dtype = jnp.result_type(x, other)
    left, right = jnp.broadcast_arrays(jnp.asarray(x, dtype), jnp.asarray(other, dtype))
    return jax.lax.div(left, right)


@elementwise("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor", "aten.pow.Scalar")
@in_float32
def pow(x: Operand, exponent: Operand) -> Any:
    """A square is a product: XLA's power is many times slower and no more exact."""
    if isinstance(exponent, (int, float)) and exponent == 2:
        return jnp.square(x)
    if jnp.issubdtype(jnp.result_type(x, exponent), jnp.integer):
        return _pow_int(jnp.asarray(x), jnp.asarray(exponent))
    return jnp.power(x, exponent)


def _pow_int(x: Array, exponent: Array) -> Array:
    """Below zero the exponent gives C's 1 / x**n: zero, unless x is 1 or -1."""
    sign = jnp.where(exponent % 2 == 0, 1, x)
    inverse = jnp.where(jnp.abs(x) == 1, sign, 0)
    return jnp.where(exponent < 0, inverse, jnp.power(x, jnp.maximum(exponent, 0)))


@elementwise("aten.clamp.default", "aten.clamp.Tensor")
def clamp(x: Array, min: Operand | None = None, max: Operand | None = None) -> Array:
    """Where the bounds cross, torch gives `max`."""
    if min is not None:
        x = jnp.maximum(x, min)
    return x if max is None else jnp.minimum(x, max)
