"""Ops that put a border around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import Array, Value, laid, order_of, stored
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
    return laid(lax.pad(array, jnp.asarray(value, array.dtype), config), order)


@lowers("aten.reflection_pad1d.default", "aten.reflection_pad2d.default")
def reflection_pad(x: Array, padding: Sequence[int]) -> Array:
    return _repeating(x, padding, "reflect")


@lowers(
    "aten.replication_pad1d.default",
    "aten.replication_pad2d.default",
    "aten.replication_pad3d.default",
)
def replication_pad(x: Array, padding: Sequence[int]) -> Array:
    return _repeating(x, padding, "edge")


@lowers("aten.pad.default")
def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    if mode == "constant":
        return stored(constant_pad_nd(x, pad, value or 0))
    return _repeating(x, pad, {"reflect": "reflect", "replicate": "edge"}.get(mode, "wrap"))


def _repeating(x: Array, pad: Sequence[int], mode: str) -> Array:
    """A negative width cuts: what goes round was cut before, other borders know the whole."""
    cut = [min(width, 0) for width in pad]
    if mode == "wrap":
        x, cut = stored(constant_pad_nd(x, cut)), [0] * len(pad)
    wide = jnp.pad(x, [(max(a, 0), max(b, 0)) for a, b in _per_axis(x.ndim, pad)], mode=mode)
    return stored(constant_pad_nd(wide, cut))
