"""Ops that only look at a tensor in another way: views, permutations, joins and cuts.

They carry the layout tag along wherever they can, because a tag lost here is a transposition of a
whole feature map.
"""

from __future__ import annotations

from builtins import slice as Cut
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import (
    CHANNELS_LAST,
    Array,
    TaggedArray,
    Value,
    in_order,
    order_of,
    permuted,
    reshaped,
    stored,
    with_order,
)
from sdbackends.engines.jax.ops.registry import lowers


@lowers("aten.view.default", layouts=True)
def view(x: Value, size: Sequence[int]) -> Value:
    return reshaped(x, size)


@lowers("aten.permute.default", layouts=True)
def permute(x: Value, dims: Sequence[int]) -> Value:
    return permuted(x, dims)


@lowers("aten.unsqueeze.default", layouts=True)
def unsqueeze(x: Value, dim: int) -> Value:
    shape = list(x.shape)
    shape.insert(dim % (x.ndim + 1), 1)
    return reshaped(x, shape)


@lowers("aten.squeeze.dims", layouts=True)
def squeeze(x: Value, dim: Sequence[int]) -> Value:
    """A dim that is longer than 1 stays, as in torch."""
    if x.ndim == 0:
        return x
    drop = [d for d in {d % x.ndim for d in dim} if x.shape[d] == 1]
    order = order_of(x)
    places = sorted(order[d] for d in range(x.ndim) if d not in drop)
    kept = [places.index(order[d]) for d in range(x.ndim) if d not in drop]
    return with_order(jnp.squeeze(stored(x), tuple(order[d] for d in drop)), kept)


@lowers("aten.expand.default")
def expand(x: Array, size: Sequence[int], *, implicit: bool = False) -> Array:
    old = (1,) * (len(size) - x.ndim) + x.shape
    return jnp.broadcast_to(x, [o if s == -1 else s for o, s in zip(old, size, strict=True)])


@lowers("aten.cat.default", layouts=True)
def cat(tensors: Sequence[Value], dim: int = 0) -> Value:
    """In the order of the first tagged tensor; torch skips the old-style empty ones."""
    ndim = max(t.ndim for t in tensors)
    full = [t for t in tensors if t.ndim == ndim]
    orders = [t.order for t in full if isinstance(t, TaggedArray)]
    order = CHANNELS_LAST if CHANNELS_LAST in orders else (*orders, tuple(range(ndim)))[0]
    return with_order(jnp.concatenate([in_order(t, order) for t in full], order[dim]), order)


@lowers("aten.slice.Tensor", layouts=True)
def slice(
    x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    """Python's own slices have torch's rules for ends that are negative or too large."""
    order = order_of(x)
    cut: list[Cut] = [Cut(None)] * x.ndim
    cut[order[dim]] = Cut(start, end, step)
    return with_order(stored(x)[tuple(cut)], order)


@lowers("aten.split_with_sizes.default", layouts=True)
def split_with_sizes(x: Value, split_sizes: Sequence[int], dim: int = 0) -> list[Value]:
    ends = [int(end) for end in np.cumsum(split_sizes)]
    return [slice(x, dim, end - size, end) for end, size in zip(ends, split_sizes, strict=True)]


@lowers("aten.select.int", layouts=True)
def select(x: Value, dim: int, index: int) -> Value:
    dim, index = dim % x.ndim, index % x.shape[dim]
    return squeeze(slice(x, dim, index, index + 1), (dim,))


@lowers("aten.repeat.default")
def repeat(x: Array, repeats: Sequence[int]) -> Array:
    return jnp.tile(x, tuple(repeats))


@lowers("aten.flip.default")
def flip(x: Array, dims: Sequence[int]) -> Array:
    return jnp.flip(x, tuple(dims))


@lowers("aten.diagonal.default")
def diagonal(x: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    cut: Array = jnp.diagonal(x, offset, dim1, dim2)
    return cut
