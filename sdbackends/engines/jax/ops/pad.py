"""Ops that put a border around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import Value, order_of, stored, with_order
from sdbackends.engines.jax.ops.registry import lowers


def _per_axis(ndim: int, pad: Sequence[int]) -> list[tuple[int, int]]:
    """Torch counts from the last axis: (left, right, top, bottom, …)."""
    widths = [(0, 0)] * ndim
    for i in range(len(pad) // 2):
        widths[ndim - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    return widths


@lowers("aten.constant_pad_nd.default", layouts=True)
def constant_pad_nd(x: Value, pad: Sequence[int], value: float = 0) -> Value:
    """`lax.pad`, because a negative width cuts, there as in torch."""
    order = order_of(x)
    widths = _per_axis(x.ndim, pad)
    config = [(0, 0, 0)] * x.ndim
    for axis, (low, high) in enumerate(widths):
        config[order[axis]] = (low, high, 0)
    array = stored(x)
    return with_order(lax.pad(array, jnp.asarray(value, array.dtype), config), order)
