"""Ops that fold axes: sums, means, extremes, softmax, cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES, is_floating
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, cast, filled, place, wide

Dims = int | Sequence[int] | None
Fold = Callable[[Tensor, tuple[int, ...]], Tensor]


def _axes(x: Tensor, dim: Dims) -> tuple[int, ...]:
    """Torch takes no dims, and an empty list of them, as all."""
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    return tuple(d % x.ndim for d in ([dim] if isinstance(dim, int) else dim)) if x.ndim else ()


def _folded(x: Tensor, dim: Dims, spec: TensorSpec, fold: Fold, nothing: float) -> Tensor:
    """The fold with its axes kept, then the recorded shape; of no elements it is `nothing`."""
    if not math.prod(x.shape):
        return filled(spec.shape, nothing, DTYPES[spec.dtype], place())
    axes = _axes(x, dim)
    return fold(x, axes).reshape(*spec.shape) if axes else x.reshape(*spec.shape)


def _counting(x: Tensor, spec: TensorSpec) -> Tensor:
    """16-bit values are summed in float32, whole numbers in the result's dtype."""
    dtype = DTYPES[spec.dtype]
    return wide(x) if is_floating(dtype) else cast(x, dtype)


@lowers("aten.sum.dim_IntList", spec=True)
def sum(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, spec: TensorSpec
) -> Tensor:
    x = _counting(x, spec)
    return _folded(x, dim, spec, lambda x, axes: flow.sum(x, dim=axes, keepdim=True), 0)


@lowers("aten.mean.default", "aten.mean.dim", spec=True)
def mean(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, spec: TensorSpec
) -> Tensor:
    return _folded(
        wide(x), dim, spec, lambda x, axes: flow.mean(x, dim=axes, keepdim=True), math.nan
    )


@lowers("aten.prod.default", "aten.prod.dim_int", spec=True)
def prod(
    x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, spec: TensorSpec
) -> Tensor:
    x = _counting(x, spec)
    return _folded(x, dim, spec, lambda x, axes: flow.prod(x, dim=axes, keepdim=True), 1)


@lowers("aten.var.correction", spec=True)
def var(
    x: Tensor,
    dim: Dims = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    spec: TensorSpec,
) -> Tensor:
    """Centred before squaring, see `norm.py`."""

    def fold(x: Tensor, axes: tuple[int, ...]) -> Tensor:
        count = math.prod(x.shape[axis] for axis in axes)
        centred = x - flow.mean(x, dim=axes, keepdim=True)
        squares = flow.sum(centred * centred, dim=axes, keepdim=True)
        free = max(0.0, count - (1 if correction is None else correction))
        return squares / free if free else squares * math.inf

    return _folded(wide(x), dim, spec, fold, math.nan)


@lowers("aten.var_mean.correction", spec=True)
def var_mean(
    x: Tensor,
    dim: Dims = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    spec: TensorSpec,
) -> tuple[Tensor, Tensor]:
    variance = var(x, dim, correction=correction, keepdim=keepdim, spec=spec)
    return variance, mean(x, dim, keepdim, spec=spec)


def _extreme(x: Tensor, dim: Dims, spec: TensorSpec, sign: int) -> Tensor:
    """The largest (sign 1) or smallest (-1) value along some axes."""
    return _folded(_comparable(x), dim, spec, lambda x, axes: _end(x, axes, sign), 0)


def _comparable(x: Tensor) -> Tensor:
    """Booleans and small integers go as int32."""
    return x.to(flow.int32) if x.dtype in (flow.bool, flow.uint8, flow.int8) else x


def _end(x: Tensor, axes: tuple[int, ...], sign: int) -> Tensor:
    """By its position: OneFlow's maximum of nothing but -inf is the lowest float, and it passes
    over a NaN.
    """
    if not is_floating(x.dtype):
        return (flow.amax if sign > 0 else flow.amin)(x, dim=axes, keepdim=True)
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.permute(*rest, *axes).reshape(-1, math.prod(x.shape[axis] for axis in axes))
    rows = rows.contiguous()
    find = flow.argmax if sign > 0 else flow.argmin
    found = flow.gather(rows, 1, find(rows, dim=1, keepdim=True))
    strange = flow.amax((rows != rows).to(flow.int32), dim=1, keepdim=True) > 0
    return flow.where(strange, filled([], math.nan, x.dtype, x.device), found)


@lowers("aten.amax.default", spec=True)
def amax(x: Tensor, dim: Dims = (), keepdim: bool = False, *, spec: TensorSpec) -> Tensor:
    return _extreme(x, dim, spec, 1)


@lowers("aten.amin.default", spec=True)
def amin(x: Tensor, dim: Dims = (), keepdim: bool = False, *, spec: TensorSpec) -> Tensor:
    return _extreme(x, dim, spec, -1)


@lowers("aten.max.default", spec=True)
def max_all(x: Tensor, *, spec: TensorSpec) -> Tensor:
    return amax(x, spec=spec)


@lowers("aten.min.default", spec=True)
def min_all(x: Tensor, *, spec: TensorSpec) -> Tensor:
    return amin(x, spec=spec)


@lowers("aten.max.dim", spec=True)
def max_dim(
    x: Tensor, dim: int, keepdim: bool = False, *, spec: TensorSpec
) -> tuple[Tensor, Tensor]:
    return amax(x, dim, spec=spec), argmax(x, dim, spec=spec)


@lowers("aten.min.dim", spec=True)
def min_dim(
    x: Tensor, dim: int, keepdim: bool = False, *, spec: TensorSpec
) -> tuple[Tensor, Tensor]:
    return amin(x, dim, spec=spec), argmin(x, dim, spec=spec)


@lowers("aten.argmax.default", spec=True)
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False, *, spec: TensorSpec) -> Tensor:
    return _position(flow.argmax, x, dim, spec)


@lowers("aten.argmin.default", spec=True)
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False, *, spec: TensorSpec) -> Tensor:
    return _position(flow.argmin, x, dim, spec)


def _position(find: Callable[..., Tensor], x: Tensor, dim: int | None, spec: TensorSpec) -> Tensor:
    """Without a dim torch searches the flattened tensor."""
    if x.ndim == 0:
        return filled([], 0, flow.int64, x.device)
    x = _comparable(x)
    rows = x.reshape(-1) if dim is None else x
    found = find(rows, dim=0 if dim is None else dim % x.ndim, keepdim=True)
    return found.reshape(*spec.shape)


@lowers("aten.any.default", "aten.any.dim", "aten.any.dims", spec=True)
def any(x: Tensor, dim: Dims = None, keepdim: bool = False, *, spec: TensorSpec) -> Tensor:
    """As the maximum of ones and zeros."""
    ones = (x != 0 if x.dtype != flow.bool else x).to(flow.int32)
    return _folded(ones, dim, spec, lambda x, axes: flow.amax(x, dim=axes, keepdim=True), 0)


@lowers("aten.cumsum.default", spec=True)
def cumsum(x: Tensor, dim: int, *, dtype: Any = None, spec: TensorSpec) -> Tensor:
    x = _counting(x, spec)
    return flow.cumsum(x, dim % x.ndim) if x.ndim and math.prod(x.shape) else x


@lowers("aten.cumprod.default", spec=True)
def cumprod(x: Tensor, dim: int, *, dtype: Any = None, spec: TensorSpec) -> Tensor:
    x = _counting(x, spec)
    return flow.cumprod(x, dim % x.ndim) if x.ndim and math.prod(x.shape) else x


@lowers("aten.softmax.int", "aten._softmax.default")
def softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """In float32 whatever comes in; the third argument is a dtype or torch's half_to_float."""
    if x.ndim == 0:
        return filled([], 1.0, wide(x).dtype, x.device)
    return flow.softmax(wide(x), dim=dim % x.ndim)


@lowers("aten._log_softmax.default")
def log_softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    if x.ndim == 0:
        return filled([], 0.0, wide(x).dtype, x.device)
    return flow.log_softmax(wide(x), dim=dim % x.ndim)


@lowers("aten.linalg_vector_norm.default", spec=True)
def linalg_vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    spec: TensorSpec,
) -> Tensor:
    def fold(x: Tensor, axes: tuple[int, ...]) -> Tensor:
        if ord == 2:
            return flow.sqrt(flow.sum(x * x, dim=axes, keepdim=True))
        if ord == math.inf:
            return flow.amax(flow.abs(x), dim=axes, keepdim=True)
        if ord == -math.inf:
            return flow.amin(flow.abs(x), dim=axes, keepdim=True)
        sizes = flow.abs(x)
        if ord == 0:
            return flow.sum((sizes != 0).to(x.dtype), dim=axes, keepdim=True)
        return flow.sum(sizes**ord, dim=axes, keepdim=True) ** (1 / ord)

    x = wide(x)
    if not _axes(x, dim):
        return flow.abs(x)
    return _folded(x, dim, spec, fold, 0)
