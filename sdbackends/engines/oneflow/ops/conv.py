"""Convolutions: torch's many ways to give the numbers in, OneFlow's kernels behind them."""

from __future__ import annotations

from collections.abc import Sequence

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.engines.lowering.conditions import of_floats
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor

Sizes = int | Sequence[int]
_PLAIN = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: flow._C.deconv1d, 2: flow._C.deconv2d, 3: flow._C.deconv3d}


def _each(value: Sizes, n: int) -> tuple[int, ...]:
    """Torch lets one number stand for all dimensions."""
    if isinstance(value, int):
        return (value,) * n
    return tuple(value) if len(value) == n else tuple(value) * n


@lowers(
    "aten.conv1d.default",
    "aten.conv2d.default",
    "aten.conv3d.default",
    "aten.conv1d.padding",
    "aten.conv2d.padding",
    "aten.conv3d.padding",
    only_if=of_floats,
)
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    n = weight.ndim - 2
    if x.ndim == n + 1:  # without a batch
        return conv(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups)[0]
    spread = _each(dilation, n)
    if isinstance(padding, str):
        x, padding = _bordered(x, weight, padding, spread)
    steps, border = _each(stride, n), _each(padding, n)
    y = _PLAIN[n](x, weight, None, steps, border, spread, groups)
    return _biased(y, bias)


def _biased(y: Tensor, bias: Tensor | None) -> Tensor:
    """Added afterwards: inside its CPU kernel OneFlow takes as long for it as for the rest."""
    if bias is None:
        return y
    channels = y.reshape(y.shape[0], y.shape[1], 1, -1)
    return (channels + bias.reshape(1, -1, 1, 1)).reshape(*y.shape)


def _bordered(
    x: Tensor, weight: Tensor, padding: str, dilation: Sequence[int]
) -> tuple[Tensor, Sizes]:
    """ "same" with an even kernel puts the odd row or column behind, which the kernels cannot."""
    if padding == "valid":
        return x, 0
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if all(total % 2 == 0 for total in totals):
        return x, [total // 2 for total in totals]
    border = [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
    return F.pad(x, border), 0


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
        form = (stride, padding, output_padding, groups, dilation)
        return conv_transpose2d(x, weight, bias, *form)
    return conv(x, weight, bias, stride, padding, dilation, groups)


@lowers("aten.conv_transpose2d.input", "aten.conv_transpose1d.default", only_if=of_floats)
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Any number of dimensions. Group by group: OneFlow's kernel has no groups on a CPU."""
    n = weight.ndim - 2
    if groups > 1:
        parts = [
            conv_transpose2d(part, kernel, None, stride, padding, output_padding, 1, dilation)
            for part, kernel in zip(
                flow.chunk(x, groups, 1), flow.chunk(weight, groups, 0), strict=True
            )
        ]
        return _biased(flow.cat(parts, dim=1), bias)
    form = (stride, padding, output_padding)
    steps, border, extra = (list(_each(v, n)) for v in form)
    spread, layout = list(_each(dilation, n)), "channels_first"
    y = _TRANSPOSED[n](x, weight.contiguous(), None, steps, border, extra, 1, spread, layout)
    return _biased(y, bias)
