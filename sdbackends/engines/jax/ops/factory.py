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


@lowers("aten.arange.start_step")
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


@lowers("aten.full.default")
def full(size: Sequence[int], fill_value: Number, dtype: Dtype = None) -> Array:
    return jnp.full(tuple(size), fill_value, dtype)


@lowers("aten.scalar_tensor.default")
def scalar_tensor(s: Number, dtype: Dtype = None) -> Array:
    return jnp.asarray(s, dtype)


@lowers("aten.empty.memory_format")
def empty(size: Sequence[int], dtype: Dtype = None) -> Array:
    """What `empty` holds is nobody's business, so zeros will do."""
    return jnp.zeros(tuple(size), dtype)


@lowers("aten.empty_permuted.default")
def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], dtype: Dtype) -> Array:
    return jnp.zeros(tuple(size), dtype)


@lowers("aten.full_like.default")
def full_like(x: Array, fill_value: Number, dtype: Dtype = None) -> Array:
    return jnp.full(x.shape, fill_value, dtype or x.dtype)


@lowers("aten.copy.default")
def copy(x: Array, src: Array, non_blocking: bool = False) -> Array:
    """`x.copy_(src)` after functionalisation: only the shape and dtype of `x` matter."""
    return jnp.broadcast_to(src.astype(x.dtype), x.shape)
