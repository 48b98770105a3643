"""Ops that fold axes: sums, means, extremes, softmax, cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers

Dims = int | Sequence[int] | None
Dtype = np.dtype | None


def _axes(x: Array, dim: Dims) -> tuple[int, ...] | None:
    """Torch takes an empty list of dims as all of them, and lets a scalar have a dim 0."""
    if dim is None or x.ndim == 0:
        return None
    return (dim,) if isinstance(dim, int) else tuple(dim) or None


def _wide(x: Array, dtype: Dtype = None) -> Array:
    """16-bit values are summed in float32, booleans and small integers as int32."""
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return x.astype(dtype)
    return x.astype(jnp.float32 if jnp.issubdtype(dtype or x.dtype, jnp.floating) else jnp.int32)


@lowers("aten.sum.dim_IntList")
def sum(x: Array, dim: Dims = None, keepdim: bool = False, *, dtype: Dtype = None) -> Array:
    return jnp.sum(_wide(x, dtype), _axes(x, dim), keepdims=keepdim)


@lowers("aten.mean.default", "aten.mean.dim")
def mean(x: Array, dim: Dims = None, keepdim: bool = False, *, dtype: Dtype = None) -> Array:
    return jnp.mean(_wide(x, dtype), _axes(x, dim), keepdims=keepdim)


@lowers("aten.prod.default", "aten.prod.dim_int")
def prod(x: Array, dim: Dims = None, keepdim: bool = False, *, dtype: Dtype = None) -> Array:
    return jnp.prod(_wide(x, dtype), _axes(x, dim), keepdims=keepdim)


@lowers("aten.var.correction")
def var(
    x: Array, dim: Dims = None, *, correction: int | None = None, keepdim: bool = False
) -> Array:
    ddof = 1 if correction is None else correction
    return jnp.var(_wide(x), _axes(x, dim), keepdims=keepdim, ddof=ddof)


@lowers("aten.var_mean.correction")
def var_mean(
    x: Array, dim: Dims = None, *, correction: int | None = None, keepdim: bool = False
) -> tuple[Array, Array]:
    return var(x, dim, correction=correction, keepdim=keepdim), mean(x, dim, keepdim)


@lowers("aten.amax.default")
def amax(x: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    return jnp.max(x, _axes(x, dim), keepdims=keepdim)


@lowers("aten.amin.default")
def amin(x: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    return jnp.min(x, _axes(x, dim), keepdims=keepdim)


@lowers("aten.max.default")
def max(x: Array) -> Array:
    return jnp.max(x)


@lowers("aten.min.default")
def min(x: Array) -> Array:
    return jnp.min(x)


@lowers("aten.max.dim")
def max_dim(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    return amax(x, dim, keepdim), argmax(x, dim, keepdim)


@lowers("aten.min.dim")
def min_dim(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    return amin(x, dim, keepdim), argmin(x, dim, keepdim)


@lowers("aten.argmax.default")
def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return _position(jnp.argmax, x, dim, keepdim)


@lowers("aten.argmin.default")
def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return _position(jnp.argmin, x, dim, keepdim)


def _position(find: Callable[..., Array], x: Array, dim: int | None, keepdim: bool) -> Array:
    """Without a dim torch searches the flattened tensor."""
    return find(x, dim, keepdims=keepdim) if x.ndim else jnp.zeros((), jnp.int32)


@lowers("aten.any.default", "aten.any.dim", "aten.any.dims")
def any(x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return jnp.any(x, _axes(x, dim), keepdims=keepdim)


@lowers("aten.cumsum.default")
def cumsum(x: Array, dim: int, *, dtype: Dtype = None) -> Array:
    return jnp.cumsum(_wide(x, dtype), dim) if x.ndim else x


@lowers("aten.cumprod.default")
def cumprod(x: Array, dim: int, *, dtype: Dtype = None) -> Array:
    return jnp.cumprod(_wide(x, dtype), dim) if x.ndim else x


@lowers("aten.softmax.int", "aten._softmax.default")
def softmax(x: Array, dim: int, dtype: Any = None) -> Array:
    """In float32 whatever comes in; the third argument is a dtype or torch's half_to_float."""
    return jax.nn.softmax(x.astype(jnp.float32), _axes(x, dim))


@lowers("aten._log_softmax.default")
def log_softmax(x: Array, dim: int, half_to_float: bool = False) -> Array:
    return jax.nn.log_softmax(x.astype(jnp.float32), _axes(x, dim))


@lowers("aten.linalg_vector_norm.default")
def linalg_vector_norm(
    x: Array, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Dtype = None
) -> Array:
    size, axes = jnp.abs(_wide(x, dtype)), _axes(x, dim)
    if ord == math.inf:
        return jnp.max(size, axes, keepdims=keepdim)
    if ord == -math.inf:
        return jnp.min(size, axes, keepdims=keepdim)
    if ord == 0:
        return jnp.sum(size != 0, axes, keepdims=keepdim)
    if ord == 2:
        return jnp.sqrt(jnp.sum(jnp.square(size), axes, keepdims=keepdim))
    return jnp.sum(size**ord, axes, keepdims=keepdim) ** (1 / ord)
