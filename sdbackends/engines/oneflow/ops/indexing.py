"""Ops that read or write chosen elements: index, gather, scatters into a copy."""

from __future__ import annotations

import math
from builtins import slice as Cut
from collections.abc import Sequence

import numpy as np
import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES
from sdbackends.engines.oneflow.ops.indices import flat, in_range
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import (
    Number,
    Tensor,
    cast,
    constant,
    filled,
    to_shape,
)

Indices = Sequence[Tensor | None]


@lowers("aten.index.Tensor", spec=True)
def index(x: Tensor, indices: Indices, *, spec: TensorSpec) -> Tensor:
    """The chosen axes become one axis in front, from which rows are taken."""
    front, rest, place = _axes(x, indices)
    picked = flow.index_select(_rows(x, front, rest), 0, place.reshape(-1))
    lead = tuple(place.shape)
    result = picked.reshape(*lead, *(x.shape[axis] for axis in rest))
    if _side_by_side(front):  # they stay where they were
        order = [*range(len(lead), len(lead) + front[0]), *range(len(lead))]
        result = result.permute(*order, *range(len(order), result.ndim))
    return result


def _side_by_side(axes: list[int]) -> bool:
    return axes == list(range(axes[0], axes[-1] + 1))


def _axes(x: Tensor, indices: Indices) -> tuple[list[int], list[int], Tensor]:
    """The axes with an index, those without, and the position in all of the former as one."""
    front = [axis for axis, index in enumerate(indices) if index is not None]
    rest = [axis for axis in range(x.ndim) if axis not in front]
    given = [index for index in indices if index is not None]
    return front, rest, flat(given, [x.shape[axis] for axis in front])


def _rows(x: Tensor, front: list[int], rest: list[int]) -> Tensor:
    ordered = x.permute(*front, *rest) if front != list(range(len(front))) else x
    return ordered.reshape(math.prod(x.shape[axis] for axis in front), -1)


def _overwrites(
    x: TensorSpec, indices: object, values: TensorSpec, accumulate: bool = False
) -> str:
    return "with accumulate" if accumulate else ""


@lowers("aten.index_put.default", only_if=_overwrites)
def index_put(x: Tensor, indices: Indices, values: Tensor, accumulate: bool = False) -> Tensor:
    """The chosen axes become one axis in front, into which rows are written."""
    front, rest, place = _axes(x, indices)
    rows = _rows(x, front, rest)
    sizes = [x.shape[axis] for axis in rest]
    # In `values` the chosen axes stand where the first of them is in `x`, if they are side by side.
    before = front[0] if _side_by_side(front) else 0
    shape = (*sizes[:before], *place.shape, *sizes[before:])
    updates = to_shape(cast(values, x.dtype), shape)
    if before:
        lead = range(before, before + place.ndim)
        others = [axis for axis in range(len(shape)) if axis not in lead]
        updates = updates.permute(*lead, *others)
    updates = updates.reshape(-1, rows.shape[1])
    written = flow._C.tensor_scatter_nd_update(rows, place.reshape(-1, 1), updates)
    order = [*front, *rest]
    ordered = written.reshape(*(x.shape[axis] for axis in order))
    return ordered.permute(*(order.index(axis) for axis in range(x.ndim)))


@lowers("aten.index_select.default")
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    if x.ndim == 0:
        return x
    dim %= x.ndim
    place = in_range(index.to(flow.int64), 0, x.shape[dim])
    return flow.index_select(x, dim, place.reshape(-1))


@lowers("aten.gather.default")
def gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """The index may be shorter than `x` along the other axes."""
    if x.ndim == 0:
        return to_shape(x, index.shape)
    dim %= x.ndim
    place = in_range(index.to(flow.int64), 0, x.shape[dim])
    return flow.gather(_cut(x, place, dim), dim, place)


def _cut(x: Tensor, index: Tensor, dim: int) -> Tensor:
    cut = [Cut(0, size) for size in index.shape]
    cut[dim] = Cut(None)
    return x[tuple(cut)].contiguous()


@lowers("aten.scatter.src")
def scatter(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    dim %= x.ndim
    place = in_range(index.to(flow.int64), 0, x.shape[dim])
    values = src[tuple(Cut(0, size) for size in index.shape)].contiguous()
    return flow.scatter(x.contiguous(), dim, place.contiguous(), cast(values, x.dtype))


@lowers("aten.scatter.value")
def scatter_value(x: Tensor, dim: int, index: Tensor, value: Number) -> Tensor:
    return scatter(x, dim, index, filled(index.shape, value, x.dtype, x.device))


@lowers("aten.slice_scatter.default", spec=True)
def slice_scatter(
    x: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    *,
    spec: TensorSpec,
) -> Tensor:
    dim %= x.ndim
    return _overlaid(x, src, dim, Cut(start, end, step), spec)


def _overlaid(x: Tensor, src: Tensor, dim: int, cut: Cut, spec: TensorSpec) -> Tensor:
    """Both tensors in one, and each row from where it is to come."""
    size = x.shape[dim]
    come_from = np.arange(size)
    covered = come_from[cut]
    come_from[cut] = size + np.arange(len(covered))
    both = flow.cat([x, cast(src, DTYPES[spec.dtype])], dim=dim)
    return flow.index_select(both, dim, constant(come_from, x.device))
