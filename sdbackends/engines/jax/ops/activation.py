"""Activations, element by element."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import elementwise


def _wide(x: Array) -> Array:
    """Activations of 16-bit values are computed in float32, as torch does."""
    return x.astype(jnp.float32)


@elementwise("aten.silu.default")
def silu(x: Array) -> Array:
    return jax.nn.silu(_wide(x))


@elementwise("aten.gelu.default")
def gelu(x: Array, *, approximate: str = "none") -> Array:
    return jax.nn.gelu(_wide(x), approximate=approximate == "tanh")


@elementwise("aten.leaky_relu.default")
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    return jnp.where(x > 0, x, _wide(x) * negative_slope)


@elementwise("aten.elu.default")
def elu(x: Array, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Array:
    wide = _wide(x)
    return scale * jnp.where(wide > 0, wide, alpha * jnp.expm1(wide * input_scale))


@elementwise("aten.hardtanh.default")
def hardtanh(x: Array, min_val: float = -1, max_val: float = 1) -> Array:
    return jnp.clip(x, min_val, max_val)
