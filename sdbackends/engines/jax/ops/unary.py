"""Ops on one tensor, element by element: functions, copies, other dtypes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.precision import in_float32
from sdbackends.engines.jax.ops.registry import elementwise

_UNARY: dict[str, Callable[..., Array]] = {
    "abs": jnp.abs,
    "acos": jnp.arccos,
    "acosh": jnp.arccosh,
    "asin": jnp.arcsin,
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atanh": jnp.arctanh,
    "ceil": jnp.ceil,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "floor": jnp.floor,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
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
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "trunc": jnp.trunc,
}
for _name, _function in _UNARY.items():
    elementwise(f"aten.{_name}.default")(in_float32(_function))


def _floating(x: Array) -> Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


@elementwise("aten.round.decimals")
@in_float32
def round_decimals(x: Array, *, decimals: int) -> Array:
    return jnp.round(x, decimals)


@elementwise(
    "aten.clone.default",
    "aten.alias.default",
    "aten.lift_fresh_copy.default",
)
def clone(x: Array) -> Array:
    return x


@elementwise(
    "aten._to_copy.default",
)
def to_copy(x: Array, dtype: np.dtype | None = None) -> Array:
    """A float becomes an integer towards zero, as in C; XLA does the same."""
    return x if dtype is None else x.astype(dtype)
