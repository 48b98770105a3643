"""Convolutions: torch's many ways to give the numbers in, OneFlow's kernels behind them."""

from __future__ import annotations

from collections.abc import Sequence

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.engines.lowering.conditions import of_floats
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor

Sizes = int | Sequence[int]
_KERNELS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED_KERNELS = {1: flow._C.deconv1d, 2: flow._C.deconv2d, 3: flow._C.deconv3d}


def _each(value: Sizes, n: int) -> tuple[int, ...]:
    """Torch lets one number stand for all dimensions."""
    if isinstance(value, int):
        return (value,) * n
    return tuple(value) if len(value) == n else tuple(value) * n


@lowers("aten.conv2d.default", only_if=of_floats)
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Any number of dimensions."""
    n = weight.ndim - 2
    if x.ndim == n + 1:  # without a batch
        return conv(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups)[0]
    spread = _each(dilation, n)
    steps, border = _each(stride, n), _each(padding, n)
    y = _KERNELS[n](x, weight, None, steps, border, spread, groups)
    return _biased(y, bias)


def _biased(y: Tensor, bias: Tensor | None) -> Tensor:
    """Added afterwards: inside its CPU kernel OneFlow takes as long for it as for the rest."""
    if bias is None:
        return y
    channels = y.reshape(y.shape[0], y.shape[1], 1, -1)
    return (channels + bias.reshape(1, -1, 1, 1)).reshape(*y.shape)


@lowers("aten.convolution.default", only_if=of_floats)
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Tensor:
    if transposed:
        form = (stride, padding, dilation, output_padding, groups)
        return _transposed(x, weight, bias, *form)
    return conv(x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    output_padding: Sizes,
    groups: int,
) -> Tensor:
    """Any number of dimensions. Group by group: OneFlow's kernel has no groups on a CPU."""
    n = weight.ndim - 2
    if groups > 1:
        parts = [
            _transposed(part, kernel, None, stride, padding, dilation, output_padding, 1)
            for part, kernel in zip(
                flow.chunk(x, groups, 1), flow.chunk(weight, groups, 0), strict=True
            )
        ]
        return _biased(flow.cat(parts, dim=1), bias)
    form = (stride, padding, output_padding)
    steps, border, extra = (list(_each(v, n)) for v in form)
    spread, layout = list(_each(dilation, n)), "channels_first"
    y = _TRANSPOSED_KERNELS[n](
        x, weight.contiguous(), None, steps, border, extra, 1, spread, layout
    )
    return _biased(y, bias)
