"""Ops that put a border around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import oneflow as flow

from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.shape import slice
from sdbackends.engines.oneflow.ops.tensors import Number, Tensor, filled


def _per_axis(ndim: int, pad: Sequence[int]) -> list[tuple[int, int]]:
    """Torch counts from the last axis: (left, right, top, bottom, …)."""
    widths = [(0, 0)] * ndim
    for i in range(len(pad) // 2):
        widths[ndim - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    return widths


@lowers("aten.constant_pad_nd.default")
def constant_pad_nd(x: Tensor, pad: Sequence[int], value: Number = 0) -> Tensor:
    """Joined axis by axis; a negative width cuts. OneFlow's own kernel takes no booleans."""
    for axis, (low, high) in enumerate(_per_axis(x.ndim, pad)):
        if low < 0 or high < 0:
            x = slice(x, axis, max(0, -low), x.shape[axis] + min(0, high))
        parts = [_border(x, axis, low, value), x, _border(x, axis, high, value)]
        present = [part for part in parts if part is not None]
        x = flow.cat(present, dim=axis) if len(present) > 1 else x
    return x


def _border(x: Tensor, axis: int, width: int, value: Number) -> Tensor | None:
    if width <= 0:
        return None
    shape = list(x.shape)
    shape[axis] = width
    return filled(shape, value, x.dtype, x.device)
