"""Ops that read or write chosen elements: index, gather, scatters into a copy."""

from __future__ import annotations

from builtins import slice as Cut
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers

Indices = Sequence[Array | None]


def _places(indices: Indices) -> tuple[Array | Cut, ...]:
    return tuple(Cut(None) if index is None else index for index in indices)


@lowers("aten.index.Tensor")
def index(x: Array, indices: Indices) -> Array:
    """Advanced indexing has the same rules in both; None stands for a whole axis."""
    return x[_places(indices)]


@lowers("aten.index_put.default")
def index_put(x: Array, indices: Indices, values: Array, accumulate: bool = False) -> Array:
    if indices[0] is not None and indices[0].dtype == jnp.bool_:
        return _put_where(x, indices, values, accumulate)
    spot = x.at[_places(indices)]
    return spot.add(values) if accumulate else spot.set(values)


def _put_where(x: Array, indices: Indices, values: Array, accumulate: bool) -> Array:
    """A mask over the first axes: how many places it names is known only when the program runs."""
    (mask,) = indices
    assert mask is not None
    rest = x.shape[mask.ndim :]
    rows = values.reshape((-1, *rest)) if values.ndim > len(rest) else values
    if values.ndim > len(rest) and len(rows) > 1:  # a row for each place, in order
        nth = jnp.cumsum(mask.reshape(-1)).reshape(mask.shape) - 1
        rows = jnp.take(rows, nth, axis=0, mode="clip")
    spread = mask.reshape(mask.shape + (1,) * len(rest))
    return jnp.where(spread, x + rows if accumulate else rows, x)


@lowers("aten.index_select.default")
def index_select(x: Array, dim: int, index: Array) -> Array:
    return jnp.take(x, index, dim, mode="clip") if x.ndim else x


@lowers("aten.unfold.default")
def unfold(x: Array, dim: int, size: int, step: int) -> Array:
    """Windows along one axis, which overlap where `step` is smaller than `size`; the last axis."""
    if x.ndim == 0:
        return x.reshape(1)[:size]
    count = (x.shape[dim] - size) // step + 1
    rows = step * np.arange(count)[:, None] + np.arange(size)
    axis = dim % x.ndim
    return jnp.moveaxis(jnp.take(x, rows, axis, mode="clip"), axis + 1, -1)


@lowers("aten.gather.default")
def gather(x: Array, dim: int, index: Array, *, sparse_grad: bool = False) -> Array:
    """The index may be shorter than `x` along the other axes; JAX wants them equal."""
    if index.size == 0:
        return jnp.zeros(index.shape, x.dtype)
    if x.ndim == 0 or index.ndim == 0:
        return gather(x.reshape(-1), 0, index.reshape(-1)).reshape(index.shape)
    cut = [Cut(0, size) for size in index.shape]
    cut[dim] = Cut(None)
    return jnp.take_along_axis(x[tuple(cut)], index, dim, mode="clip")


@lowers("aten.scatter.src")
def scatter(x: Array, dim: int, index: Array, src: Array) -> Array:
    return _scattered(x, dim, index, src, add=False)


@lowers("aten.scatter_add.default")
def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Array:
    return _scattered(x, dim, index, src, add=True)


def _scattered(x: Array, dim: int, index: Array, src: Array, add: bool) -> Array:
    """`src` may be larger than the index, which says how much of it is taken."""
    if index.size == 0:
        return x
    if x.ndim == 0 or index.ndim == 0:
        flat = (x.reshape(-1), 0, index.reshape(-1), src.reshape(-1))
        return _scattered(*flat, add).reshape(x.shape)
    cut = src[tuple(Cut(0, size) for size in index.shape)]
    places = list(jnp.meshgrid(*(jnp.arange(s) for s in index.shape), indexing="ij"))
    places[dim] = index
    spot = x.at[tuple(places)]
    return spot.add(cut) if add else spot.set(cut)


@lowers("aten.scatter.value")
def scatter_value(x: Array, dim: int, index: Array, value: float) -> Array:
    return scatter(x, dim, index, jnp.full(index.shape, value, x.dtype))


@lowers("aten.slice_scatter.default")
def slice_scatter(
    x: Array,
    src: Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Array:
    cut = [Cut(None)] * x.ndim
    cut[dim] = Cut(start, end, step)
    return x.at[tuple(cut)].set(src)
