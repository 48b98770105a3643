"""Ops that change the size of an image: upsampling and pooling."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from sdbackends.engines.jax.layout import (
    CHANNELS_LAST,
    Array,
    Value,
    in_order,
    reshaped,
    with_order,
)
from sdbackends.engines.jax.ops.registry import lowers
from sdbackends.engines.lowering.resampling import (
    Scales,
    adaptive_means,
    bilinear,
    given_scales,
    nearest,
)


def _batched(axes: int) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Torch takes an image, or a video, of `axes` axes without a batch as well."""

    def wrap(function: Callable[..., Value]) -> Callable[..., Value]:
        @functools.wraps(function)
        def call(x: Value, *args: Any, **kwargs: Any) -> Value:
            if x.ndim == axes + 1:
                return function(x, *args, **kwargs)
            image = function(reshaped(x, (1, *x.shape)), *args, **kwargs)
            return reshaped(image, image.shape[1:])

        return call

    return wrap


def _target(x: Value, output_size: Sequence[int] | None, scales: Scales) -> tuple[int, int]:
    if output_size is not None:
        return int(output_size[0]), int(output_size[1])
    assert scales is not None and scales[0] is not None and scales[1] is not None
    return int(x.shape[2] * scales[0]), int(x.shape[3] * scales[1])


def _rows_from(size: int, target: int, scale: float | None) -> NDArray[np.int32]:
    return nearest(size, target, scale).astype(np.int32)


@lowers("aten.upsample_nearest2d.vec", layouts=True)
def upsample_nearest2d(x: Value, output_size: Sequence[int] | None, scale_factors: Scales) -> Value:
    """A whole factor is a broadcast, which XLA fuses into what follows; else rows are picked."""
    rows = in_order(x, CHANNELS_LAST)
    n, h, w, c = rows.shape
    height, width = _target(x, output_size, scale_factors)
    if height % h == 0 and width % w == 0:
        shape = (n, h, height // h, w, width // w, c)
        spread = jnp.broadcast_to(rows[:, :, None, :, None, :], shape)
        return with_order(spread.reshape(n, height, width, c), CHANNELS_LAST)
    given = given_scales(output_size, scale_factors)
    picked = rows[:, _rows_from(h, height, given[0])][:, :, _rows_from(w, width, given[1])]
    return with_order(picked, CHANNELS_LAST)


@lowers("aten.upsample_bilinear2d.vec", layouts=True)
def upsample_bilinear2d(
    x: Value, output_size: Sequence[int] | None, align_corners: bool, scale_factors: Scales
) -> Value:
    """One product with a small matrix along each axis."""
    rows = in_order(x, CHANNELS_LAST)
    height, width = _target(x, output_size, scale_factors)
    given = given_scales(output_size, scale_factors)
    down = bilinear(rows.shape[1], height, align_corners, given[0])
    right = bilinear(rows.shape[2], width, align_corners, given[1])
    wide = rows.astype(jnp.float32)
    blended = jnp.einsum("yh,nhwc,xw->nyxc", down, wide, right, precision=lax.Precision.HIGHEST)
    return with_order(blended, CHANNELS_LAST)


@lowers("aten.avg_pool2d.default", layouts=True)
@_batched(3)
def avg_pool2d(
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = 0,  # type: ignore[assignment]  # torch: one int for both
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    pooling = _pooling(x, kernel_size, stride, padding, ceil_mode)
    rows = in_order(x, CHANNELS_LAST)
    return with_order(_average(rows, pooling, count_include_pad, divisor_override), CHANNELS_LAST)


@lowers("aten.avg_pool3d.default")
@_batched(4)
def avg_pool3d(
    x: Array,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = 0,  # type: ignore[assignment]  # torch: one int for all
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    pooling = _pooling(x, kernel_size, stride, padding, ceil_mode)
    rows = jnp.moveaxis(x, 1, -1)
    return jnp.moveaxis(_average(rows, pooling, count_include_pad, divisor_override), -1, 1)


@lowers("aten._adaptive_avg_pool2d.default", layouts=True)
@_batched(3)
def adaptive_avg_pool2d(x: Value, output_size: Sequence[int]) -> Value:
    rows = in_order(x, CHANNELS_LAST).astype(jnp.float32)
    down = adaptive_means(rows.shape[1], output_size[0])
    right = adaptive_means(rows.shape[2], output_size[1])
    pooled = jnp.einsum("yh,nhwc,xw->nyxc", down, rows, right, precision=lax.Precision.HIGHEST)
    return with_order(pooled, CHANNELS_LAST)


@dataclass(frozen=True)
class _Pooling:
    """Along each axis: window, step, border, and what `ceil_mode` adds behind for its last step."""

    window: list[int]
    steps: list[int]
    pads: list[int]
    extra: list[int]


def _pooling(
    x: Value,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    ceil_mode: bool,
) -> _Pooling:
    sizes = x.shape[2:]

    def each(value: int | Sequence[int]) -> list[int]:
        given = [value] if isinstance(value, int) else list(value)
        return given * len(sizes) if len(given) == 1 else given

    window, pads = each(kernel_size), each(padding)
    steps = each(stride) or window
    extra = []
    for size, kernel, step, pad in zip(sizes, window, steps, pads, strict=True):
        span = size + 2 * pad - kernel
        count = -(-span // step) if ceil_mode else span // step
        if count * step >= size + pad:  # a window that starts in the border behind is left out
            count -= 1
        extra.append(max(0, count * step - span))
    return _Pooling(window, steps, pads, extra)


def _average(
    x: Array, pooling: _Pooling, count_include_pad: bool, divisor_override: int | None
) -> Array:
    """`x` has its channels last.

    Torch counts the border as zeros unless told not to, but never what `ceil_mode` adds.
    """
    rows = x.astype(jnp.float32)
    outer = [(low, low + more) for low, more in zip(pooling.pads, pooling.extra, strict=True)]
    total = _window_sum(rows, pooling, outer)
    if divisor_override is not None:
        return total / divisor_override
    ones = jnp.ones((1, *rows.shape[1:-1], 1), jnp.float32)
    if not count_include_pad:
        return total / _window_sum(ones, pooling, outer)
    border = ((0, 0), *((pad, pad) for pad in pooling.pads), (0, 0))
    ones = jnp.pad(ones, border, constant_values=1.0)
    return total / _window_sum(ones, pooling, [(0, more) for more in pooling.extra])


def _window_sum(rows: Array, pooling: _Pooling, border: list[tuple[int, int]]) -> Array:
    window, steps = (1, *pooling.window, 1), (1, *pooling.steps, 1)
    widths = ((0, 0), *border, (0, 0))
    zero = jnp.zeros((), rows.dtype)
    sums: Array = lax.reduce_window(rows, zero, lax.add, window, steps, widths)
    return sums
