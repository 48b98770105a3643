"""Ops that change the size of an image: upsampling and pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.lowering.resampling import (
    Scales,
    adaptive_means,
    bilinear,
    given_scales,
    nearest,
)
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, cast, constant, wide

Sizes = int | Sequence[int]


@lowers("aten.upsample_nearest2d.vec", spec=True)
def upsample_nearest2d(
    x: Tensor, output_size: Sequence[int] | None, scale_factors: Scales, *, spec: TensorSpec
) -> Tensor:
    """Rows and columns are picked, also for a whole factor: nothing in OneFlow is faster."""
    scales = given_scales(output_size, scale_factors)
    down = nearest(x.shape[2], spec.shape[2], scales[0])
    right = nearest(x.shape[3], spec.shape[3], scales[1])
    rows = flow.index_select(x, 2, constant(down, x.device))
    return flow.index_select(rows, 3, constant(right, x.device))


@lowers("aten.upsample_bilinear2d.vec", spec=True)
def upsample_bilinear2d(
    x: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Scales,
    *,
    spec: TensorSpec,
) -> Tensor:
    """One product with a small matrix along each axis."""
    scales = given_scales(output_size, scale_factors)
    down = bilinear(x.shape[2], spec.shape[2], align_corners, scales[0])
    right = bilinear(x.shape[3], spec.shape[3], align_corners, scales[1])
    return _mixed(x, down, right)


def _mixed(x: Tensor, down: np.ndarray, right: np.ndarray) -> Tensor:
    image = wide(x)
    left = cast(constant(down, x.device), image.dtype)
    wider = flow.matmul(image, cast(constant(right.T, x.device), image.dtype))
    across = flow.matmul(wider.transpose(x.ndim - 2, x.ndim - 1), left.transpose(0, 1))
    return across.transpose(x.ndim - 2, x.ndim - 1)


@lowers("aten.avg_pool2d.default", spec=True)
def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    spec: TensorSpec,
) -> Tensor:
    """A mean is a product too: each new row says how much of each old one is in it.

    Torch counts the border as zeros unless told not to, but never what `ceil_mode` adds.
    """
    window, pads = _pair(kernel_size), _pair(padding)
    steps = _pair(stride) or window
    sums, counts = [], []
    for axis in (0, 1):
        size, target = x.shape[axis - 2], spec.shape[axis - 2]
        form = (window[axis], steps[axis], pads[axis])
        sums.append(_windows(size, target, *form))
        counts.append(_counts(size, target, *form, count_include_pad))
    total = _mixed(x, sums[0], sums[1])
    divisor = np.outer(*counts) if divisor_override is None else np.float32(divisor_override)
    return total / constant(np.asarray(divisor, np.float32), x.device)


def _pair(value: Sizes) -> list[int]:
    both = [value] if isinstance(value, int) else list(value)
    return both * 2 if len(both) == 1 else both


def _windows(size: int, target: int, window: int, step: int, pad: int) -> np.ndarray:
    matrix = np.zeros((target, size), np.float32)
    for i in range(target):
        start = i * step - pad
        matrix[i, max(0, start) : max(0, min(size, start + window))] = 1
    return matrix


def _counts(
    size: int, target: int, window: int, step: int, pad: int, with_border: bool
) -> np.ndarray:
    low, high = (-pad, size + pad) if with_border else (0, size)
    starts = np.arange(target) * step - pad
    counted: np.ndarray = np.minimum(starts + window, high) - np.maximum(starts, low)
    return counted.astype(np.float32)


@lowers("aten._adaptive_avg_pool2d.default")
def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    down = adaptive_means(x.shape[-2], output_size[0])
    return _mixed(x, down, adaptive_means(x.shape[-1], output_size[1]))
