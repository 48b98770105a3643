"""Ops that work element by element: arithmetic, comparisons, choices.

The result's dtype is torch's, not JAX's: it is enforced from the graph after every node, so a
lowering only has to compute in a dtype that is wide enough.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import elementwise

Number = bool | int | float
Operand = Array | Number


def _in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of 16-bit values torch computes in float32 and rounds once, at the end."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_wide, args), **{name: _wide(v) for name, v in kwargs.items()})

    return call


def _wide(value: Any) -> Any:
    narrow = isinstance(value, jax.Array) and value.dtype in (jnp.bfloat16, jnp.float16)
    return value.astype(jnp.float32) if narrow else value


_UNARY: dict[str, Callable[..., Array]] = {
    "abs": jnp.abs,
    "acos": jnp.arccos,
    "acosh": jnp.arccosh,
    "asin": jnp.arcsin,
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atanh": jnp.arctanh,
    "bitwise_not": jnp.invert,
    "ceil": jnp.ceil,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "floor": jnp.floor,
    "isfinite": jnp.isfinite,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "logical_not": jnp.logical_not,
    "neg": jnp.negative,
    "reciprocal": lambda x: 1 / x,
    "relu": lambda x: jnp.maximum(x, 0),
    "round": jnp.round,
    "rsqrt": lambda x: jax.lax.rsqrt(_floating(x)),
    "sigmoid": lambda x: jax.nn.sigmoid(_floating(x)),
    "sign": jnp.sign,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "trunc": jnp.trunc,
}
_BINARY: dict[str, Callable[..., Array]] = {
    "bitwise_and": jnp.bitwise_and,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_xor": jnp.bitwise_xor,
    "eq": jnp.equal,
    "fmod": jnp.fmod,
    "ge": jnp.greater_equal,
    "gt": jnp.greater,
    "le": jnp.less_equal,
    "lt": jnp.less,
    "mul": jnp.multiply,
    "ne": jnp.not_equal,
    "remainder": jnp.remainder,
}
for _name, _function in _UNARY.items():
    elementwise(f"aten.{_name}.default")(_in_float32(_function))
for _name, _function in _BINARY.items():
    elementwise(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(_in_float32(_function))
elementwise("aten.logical_and.default")(jnp.logical_and)
elementwise("aten.logical_or.default")(jnp.logical_or)
elementwise("aten.logical_xor.default")(jnp.logical_xor)
elementwise("aten.maximum.default")(jnp.maximum)
elementwise("aten.minimum.default")(jnp.minimum)
elementwise("aten.atan2.default")(_in_float32(jnp.arctan2))
elementwise("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf")(jnp.where)


def _floating(x: Array) -> Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


@elementwise("aten.add.Tensor", "aten.add.Scalar")
@_in_float32
def add(x: Operand, other: Operand, alpha: Number = 1) -> Any:
    return jnp.add(x, other if alpha == 1 else other * alpha)


@elementwise("aten.sub.Tensor", "aten.sub.Scalar")
@_in_float32
def sub(x: Operand, other: Operand, alpha: Number = 1) -> Any:
    return jnp.subtract(x, other if alpha == 1 else other * alpha)


@elementwise("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(x: Operand, other: Operand, alpha: Number = 1) -> Any:
    return sub(other, x, alpha)


@elementwise("aten.div.Tensor", "aten.div.Scalar")
def div(x: Array, other: Operand) -> Array:
    return jnp.true_divide(x, other)


@elementwise("aten.div.Tensor_mode", "aten.div.Scalar_mode")
@_in_float32
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


@elementwise("aten.floor_divide.default", "aten.floor_divide.Scalar")
@_in_float32
def floor_divide(x: Array, other: Operand) -> Array:
    return jnp.floor_divide(x, other)


@elementwise("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor", "aten.pow.Scalar")
@_in_float32
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


@elementwise("aten.clamp_min.default", "aten.clamp_min.Tensor")
def clamp_min(x: Array, min: Operand) -> Array:
    return jnp.maximum(x, min)


@elementwise("aten.clamp_max.default", "aten.clamp_max.Tensor")
def clamp_max(x: Array, max: Operand) -> Array:
    return jnp.minimum(x, max)


@elementwise("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(x: Array, mask: Array, value: Operand) -> Array:
    return jnp.where(mask, jnp.asarray(value, x.dtype), x)


@elementwise("aten.round.decimals")
@_in_float32
def round_decimals(x: Array, *, decimals: int) -> Array:
    return jnp.round(x, decimals)


@elementwise("aten.nan_to_num.default")
def nan_to_num(
    x: Array, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    return jnp.nan_to_num(x, nan=nan or 0.0, posinf=posinf, neginf=neginf)


@elementwise("aten.lerp.Scalar", "aten.lerp.Tensor")
@_in_float32
def lerp(x: Array, end: Array, weight: Operand) -> Array:
    return x + (end - x) * weight


@elementwise("aten.addcmul.default")
@_in_float32
def addcmul(x: Array, tensor1: Array, tensor2: Array, *, value: Number = 1) -> Array:
    return x + value * tensor1 * tensor2


@elementwise("aten.addcdiv.default")
@_in_float32
def addcdiv(x: Array, tensor1: Array, tensor2: Array, *, value: Number = 1) -> Array:
    return x + value * (tensor1 / tensor2)


@elementwise(
    "aten.clone.default",
    "aten.alias.default",
    "aten.detach.default",
    "aten.contiguous.default",
    "aten.lift_fresh_copy.default",
)
def clone(x: Array) -> Array:
    return x


@elementwise("aten._to_copy.default", "aten.to.dtype")
def to_copy(x: Array, dtype: np.dtype | None = None, *_: bool) -> Array:
    """A float becomes an integer towards zero, as in C; XLA does the same."""
    return x if dtype is None else x.astype(dtype)


@elementwise("aten.logit.default")
@_in_float32
def logit(x: Array, eps: float | None = None) -> Array:
    bounded = x if eps is None else jnp.clip(x, eps, 1 - eps)
    return jnp.log(bounded / (1 - bounded))


@elementwise("aten.deg2rad.default")
@_in_float32
def deg2rad(x: Array) -> Array:
    return x * (math.pi / 180)
