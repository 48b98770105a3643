"""Ops that only look at a tensor in another way: views, permutations, joins and cuts.

On eager tensors most of them are views; the kernels that need contiguous memory make it so.
"""

from __future__ import annotations

from builtins import slice as Cut
from collections.abc import Sequence
from itertools import accumulate

import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, cast


@lowers("aten.view.default", spec=True)
def view(x: Tensor, size: Sequence[int], *, spec: TensorSpec) -> Tensor:
    """The recorded shape has no -1 in it."""
    return reshaped(x, spec.shape)


def reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x if tuple(x.shape) == tuple(shape) else x.reshape(*shape)


@lowers("aten.permute.default")
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    return x.permute(*(dim % x.ndim for dim in dims)) if x.ndim else x


@lowers("aten.unsqueeze.default", spec=True)
def unsqueeze(x: Tensor, dim: int, *, spec: TensorSpec) -> Tensor:
    return reshaped(x, spec.shape)


@lowers("aten.squeeze.dims", spec=True)
def squeeze(x: Tensor, dim: Sequence[int], *, spec: TensorSpec) -> Tensor:
    return reshaped(x, spec.shape)


@lowers("aten.expand.default", spec=True)
def expand(x: Tensor, size: Sequence[int], *, implicit: bool = False, spec: TensorSpec) -> Tensor:
    return x if tuple(x.shape) == spec.shape else x.expand(*spec.shape)


@lowers("aten.cat.default", spec=True)
def cat(tensors: Sequence[Tensor], dim: int = 0, *, spec: TensorSpec) -> Tensor:
    """torch skips the old-style empty ones and promotes the rest to one dtype."""
    full = [cast(t, DTYPES[spec.dtype]) for t in tensors if tuple(t.shape) != (0,)]
    return flow.cat(full, dim=dim % len(spec.shape)) if len(full) > 1 else full[0]


@lowers("aten.slice.Tensor")
def slice(
    x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Python's own rules for ends that are negative or too large are torch's."""
    dim %= x.ndim
    first, last, step = Cut(start, end, step).indices(x.shape[dim])
    if (first, last, step) == (0, x.shape[dim], 1):
        return x
    cut = [Cut(None)] * x.ndim
    cut[dim] = Cut(first, max(first, last), step)
    return x[tuple(cut)]


@lowers("aten.split_with_sizes.default")
def split_with_sizes(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    ends = accumulate(split_sizes)
    return [slice(x, dim, end - size, end) for end, size in zip(ends, split_sizes, strict=True)]


@lowers("aten.select.int")
def select(x: Tensor, dim: int, index: int) -> Tensor:
    dim, index = dim % x.ndim, index % x.shape[dim]
    shape = [size for axis, size in enumerate(x.shape) if axis != dim]
    return reshaped(slice(x, dim, index, index + 1), shape)


@lowers("aten.repeat.default")
def repeat(x: Tensor, repeats: Sequence[int]) -> Tensor:
    return x.repeat(*repeats)


@lowers("aten.flip.default")
def flip(x: Tensor, dims: Sequence[int]) -> Tensor:
    return flow.flip(x, [dim % x.ndim for dim in dims]) if x.ndim else x


@lowers("aten.diagonal.default")
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    return flow.diagonal(x, offset, dim1 % x.ndim, dim2 % x.ndim)
