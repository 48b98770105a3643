"""Ops that make a tensor from nothing or in the image of another one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers

Number = bool | int | float
Dtype = np.dtype | None


@lowers("aten.arange.default")
def arange_end(end: Number, dtype: Dtype = None) -> Array:
    return arange(0, end, 1, dtype)


@lowers("aten.arange.start", "aten.arange.start_step")
def arange(start: Number, end: Number, step: Number = 1, dtype: Dtype = None) -> Array:
    """Computed in float64 like torch, so that long ranges with a fractional step agree.

    Torch cuts the bounds and the step of a range of integers first.
    """
    if dtype is not None and np.issubdtype(dtype, np.integer):
        start, end, step = int(start), int(end), int(step)
    count = max(0, math.ceil((end - start) / step))
    values = start + np.arange(count, dtype=np.float64) * step
    whole = all(isinstance(given, int) for given in (start, end, step))
    return jnp.asarray(values.astype(dtype or (np.int32 if whole else np.float32)))


@lowers("aten.linspace.default")
def linspace(start: Number, end: Number, steps: int, dtype: Dtype = None) -> Array:
    """From both ends to the middle, which decides what a whole number is cut to."""
    if dtype is not None and np.issubdtype(dtype, np.integer):
        start, end = int(start), int(end)
    step = (end - start) / max(steps - 1, 1)
    index = np.arange(steps, dtype=np.float64)
    values = np.where(index < steps // 2, start + step * index, end - step * (steps - 1 - index))
    if steps == 1:
        values[:] = start
    return jnp.asarray(values.astype(dtype or np.float32))


@lowers("aten.full.default")
def full(size: Sequence[int], fill_value: Number, dtype: Dtype = None) -> Array:
    return jnp.full(tuple(size), fill_value, dtype)


@lowers("aten.scalar_tensor.default")
def scalar_tensor(s: Number, dtype: Dtype = None) -> Array:
    return jnp.asarray(s, dtype)


@lowers("aten.zeros.default", "aten.empty.memory_format")
def zeros(size: Sequence[int], dtype: Dtype = None) -> Array:
    """What `empty` holds is nobody's business, so zeros will do."""
    return jnp.zeros(tuple(size), dtype)


@lowers("aten.empty_permuted.default")
def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], dtype: Dtype) -> Array:
    return jnp.zeros(tuple(size), dtype)


@lowers("aten.ones.default")
def ones(size: Sequence[int], dtype: Dtype = None) -> Array:
    return jnp.ones(tuple(size), dtype)


@lowers("aten.full_like.default")
def full_like(x: Array, fill_value: Number, dtype: Dtype = None) -> Array:
    return jnp.full(x.shape, fill_value, dtype or x.dtype)


@lowers("aten.zeros_like.default", "aten.empty_like.default")
def zeros_like(x: Array, dtype: Dtype = None) -> Array:
    return jnp.zeros(x.shape, dtype or x.dtype)


@lowers("aten.ones_like.default")
def ones_like(x: Array, dtype: Dtype = None) -> Array:
    return jnp.ones(x.shape, dtype or x.dtype)


@lowers("aten.new_full.default")
def new_full(x: Array, size: Sequence[int], fill_value: Number, dtype: Dtype = None) -> Array:
    return jnp.full(tuple(size), fill_value, dtype or x.dtype)


@lowers("aten.new_zeros.default", "aten.new_empty.default")
def new_zeros(x: Array, size: Sequence[int], dtype: Dtype = None) -> Array:
    return jnp.zeros(tuple(size), dtype or x.dtype)


@lowers("aten.new_ones.default")
def new_ones(x: Array, size: Sequence[int], dtype: Dtype = None) -> Array:
    return jnp.ones(tuple(size), dtype or x.dtype)


@lowers("aten.fill.Scalar", "aten.fill.Tensor")
def fill(x: Array, value: Array | Number) -> Array:
    return jnp.broadcast_to(jnp.asarray(value, x.dtype), x.shape)


@lowers("aten.copy.default")
def copy(x: Array, src: Array, non_blocking: bool = False) -> Array:
    """`x.copy_(src)` after functionalisation: only the shape and dtype of `x` matter."""
    return jnp.broadcast_to(src.astype(x.dtype), x.shape)


@lowers("aten.eye.default")
def eye(n: int, dtype: Dtype = None) -> Array:
    return jnp.eye(n, dtype=dtype)


@lowers("aten.eye.m")
def eye_m(n: int, m: int, dtype: Dtype = None) -> Array:
    return jnp.eye(n, m, dtype=dtype)


@lowers("aten.tril.default")
def tril(x: Array, diagonal: int = 0) -> Array:
    return jnp.tril(x, diagonal)


@lowers("aten.triu.default")
def triu(x: Array, diagonal: int = 0) -> Array:
    return jnp.triu(x, diagonal)
