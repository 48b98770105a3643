"""Convolutions, chosen by shape and platform.

On a CPU, XLA's own convolution is good on large images and poor on small ones, where a matrix
product over gathered patches is up to four times faster; a 1x1 convolution is a matrix product
anywhere. bfloat16 convolutions are computed in float32 by XLA:CPU, its bfloat16 products are not.
On GPUs and TPUs the platform's own convolution is always right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import (
    CHANNELS_LAST,
    Array,
    Value,
    in_order,
    logical,
    reshaped,
    with_order,
)
from sdbackends.engines.jax.ops.conv_args import Window, each, pair, sides
from sdbackends.engines.jax.ops.registry import lowers
from sdbackends.engines.jax.options import JaxOptions

#: Output pixels up to which gathered patches beat XLA:CPU's convolution (measured).
SMALL_IMAGE = 256
#: Up to here three products over shifted rows beat it too, in 16-bit only.
MIDDLE_IMAGE = 1024
#: Fewer input channels make the patches too thin for a matrix product.
ENOUGH_CHANNELS = 64
_HWIO = (3, 2, 0, 1)


@lowers("aten.conv2d.default", layouts=True, choices=True)
def conv2d(
    x: Value,
    weight: Value,
    bias: Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    choices: JaxOptions,
) -> Value:
    """Channels-last inside; `weight` stands as `JaxOptions.kernel_order` says wherever it can."""
    if x.ndim == 3:
        batched = reshaped(x, (1, *x.shape))
        one = conv2d(batched, weight, bias, stride, padding, dilation, groups, choices=choices)
        return reshaped(one, one.shape[1:])
    kernel = (weight.shape[2], weight.shape[3])
    steps, spread = pair(stride), pair(dilation)
    window = Window(kernel, steps, sides(padding), spread, groups)
    if not choices.channels_last:
        y = _native(logical(x), logical(weight), window, choices, ("NCHW", "OIHW", "NCHW"))
        return _finish(y, bias, x.dtype, (1, -1, 1, 1))
    y = _channels_last(in_order(x, CHANNELS_LAST), weight, window, choices)
    return with_order(_finish(y, bias, x.dtype, (1, 1, 1, -1)), CHANNELS_LAST)


def _channels_last(x: Array, weight: Value, window: Window, choices: JaxOptions) -> Array:
    height, width = window.out(*x.shape[1:3])
    pixels, channels = height * width, x.shape[3]
    if window.pointwise:
        return _pointwise(x, weight, window, choices)
    if choices.platform == "cpu" and window.dense and choices.conv != "native":
        if choices.conv == "im2col" or (pixels <= SMALL_IMAGE and channels >= ENOUGH_CHANNELS):
            return _patches(x, in_order(weight, _HWIO), window, choices)
        middle = pixels <= MIDDLE_IMAGE and channels >= ENOUGH_CHANNELS
        if middle and x.dtype == jnp.bfloat16 and window.stride == (1, 1):
            return _shifted_rows(x, in_order(weight, _HWIO), window, choices)
    order = choices.kernel_order
    names = "".join("OIHW"[order.index(place)] for place in range(4))
    return _native(x, in_order(weight, order), window, choices, ("NHWC", names, "NHWC"))


def _pointwise(x: Array, weight: Value, window: Window, choices: JaxOptions) -> Array:
    """A 1x1 convolution reads each pixel alone; the weight is the (O, I) matrix that it is."""
    down, right = window.stride
    pixels = x[:, ::down, ::right]
    matrix = logical(weight).reshape(weight.shape[0], weight.shape[1])
    return choices.dot(pixels, matrix, contract=1)


def _patches(x: Array, weight: Array, window: Window, choices: JaxOptions) -> Array:
    """im2col: every pixel's neighbourhood as one row, then one product."""
    (rows, columns), (down, right) = window.kernel, window.stride
    padded = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    height, width = window.out(*x.shape[1:3])
    batch, channels = x.shape[0], x.shape[3]
    shifted = [
        lax.slice(
            padded,
            (0, i, j, 0),
            (batch, i + (height - 1) * down + 1, j + (width - 1) * right + 1, channels),
            (1, down, right, 1),
        )
        for i in range(rows)
        for j in range(columns)
    ]
    gathered = jnp.concatenate(shifted, -1).reshape(batch * height * width, -1)
    product = choices.dot(gathered, weight.reshape(rows * columns * channels, -1))
    return product.reshape(batch, height, width, -1)


def _shifted_rows(x: Array, weight: Array, window: Window, choices: JaxOptions) -> Array:
    """Patches along the width only, one product for each row of the kernel.

    The barrier keeps XLA from computing the concatenation anew inside each product.
    """
    rows, columns = window.kernel
    padded = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    height, width = window.out(*x.shape[1:3])
    batch, channels = x.shape[0], x.shape[3]
    barrier: Any = lax.optimization_barrier  # untyped in jax
    wide = barrier(jnp.concatenate([padded[:, :, j : j + width] for j in range(columns)], -1))
    matrices = weight.reshape(rows, columns * channels, -1)
    parts = [
        choices.dot(wide[:, i : i + height].reshape(batch * height * width, -1), matrices[i])
        for i in range(rows)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total.reshape(batch, height, width, -1)


def _native(
    x: Array, weight: Array, window: Window, choices: JaxOptions, names: tuple[str, str, str]
) -> Array:
    return lax.conv_general_dilated(
        x,
        weight,
        window.stride,
        window.padding,
        rhs_dilation=window.dilation,
        feature_group_count=window.groups,
        dimension_numbers=names,
        precision=choices.precision(x.dtype),
        preferred_element_type=choices.accumulator(x.dtype),
    )


@lowers("aten.convolution.default", layouts=True, choices=True)
def convolution(
    x: Value,
    weight: Value,
    bias: Array | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *,
    choices: JaxOptions,
) -> Value:
    """Any number of dimensions, and the transposed form; plain 2-D ones take the fast ways."""
    n = weight.ndim - 2
    if x.ndim == n + 1:
        batched = reshaped(x, (1, *x.shape))
        rest = (stride, padding, dilation, transposed, output_padding, groups)
        one = convolution(batched, weight, bias, *rest, choices=choices)
        return reshaped(one, one.shape[1:])
    stride, padding, dilation = (each(v, n) for v in (stride, padding, dilation))
    if n == 2 and not transposed:
        return conv2d(x, weight, bias, stride, padding, dilation, groups, choices=choices)
    plain, kernel = logical(x), logical(weight)
    borders = [(p, p) for p in padding]
    if transposed:
        kernel = _turned(kernel, groups)
        borders = [
            (d * (k - 1) - p, d * (k - 1) - p + extra)
            for d, k, p, extra in zip(
                dilation, kernel.shape[2:], padding, each(output_padding, n), strict=True
            )
        ]
    y = lax.conv_general_dilated(
        plain,
        kernel,
        (1,) * n if transposed else stride,
        borders,
        lhs_dilation=stride if transposed else None,
        rhs_dilation=dilation,
        feature_group_count=groups,
        precision=choices.precision(plain.dtype),
        preferred_element_type=choices.accumulator(plain.dtype),
    )
    return _finish(y, bias, plain.dtype, (1, -1) + (1,) * n)


def _turned(kernel: Array, groups: int) -> Array:
    """The weight of a transposed convolution (I, O/groups, …) as that of the plain one."""
    inputs, outputs = kernel.shape[0], kernel.shape[1]
    space = kernel.shape[2:]
    apart = kernel.reshape(groups, inputs // groups, outputs, *space)
    swapped = jnp.swapaxes(apart, 1, 2).reshape(groups * outputs, inputs // groups, *space)
    return jnp.flip(swapped, tuple(range(2, kernel.ndim)))


def _finish(y: Array, bias: Array | None, dtype: jnp.dtype, spread: tuple[int, ...]) -> Array:
    if bias is not None:
        y = y + logical(bias).astype(y.dtype).reshape(spread)
    return y.astype(dtype)
