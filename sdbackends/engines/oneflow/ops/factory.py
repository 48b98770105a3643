"""Ops that make a tensor from nothing or in the image of another one.

What they make is known from the graph alone, so the recorded shape and dtype are all they read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import (
    Number,
    Operand,
    Tensor,
    cast,
    constant,
    filled,
    is_tensor,
    place,
    to_shape,
)

Shape = Sequence[int]


@lowers("aten.arange.default", spec=True)
def arange_end(end: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return arange(0, end, 1, spec=spec)


@lowers("aten.arange.start", "aten.arange.start_step", spec=True)
def arange(
    start: Number, end: Number, step: Number = 1, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    """Computed in float64 like torch, so that long ranges with a fractional step agree."""
    count = max(0, math.ceil((end - start) / step))
    exact = np.float64 if "float" in spec.dtype else np.int64
    steps: np.ndarray = np.arange(count, dtype=exact)
    return constant((start + steps * step).astype(spec.dtype), place())


@lowers("aten.linspace.default", spec=True)
def linspace(
    start: Number, end: Number, steps: int, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    return constant(np.linspace(start, end, steps).astype(spec.dtype), place())


@lowers("aten.full.default", spec=True)
def full(size: Shape, fill_value: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(fill_value, spec)


@lowers("aten.scalar_tensor.default", spec=True)
def scalar_tensor(s: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(s, spec)


@lowers("aten.zeros.default", "aten.empty.memory_format", spec=True)
def zeros(size: Shape, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    """What `empty` holds is nobody's business, so zeros will do."""
    return _filled(0, spec)


@lowers("aten.empty_permuted.default", spec=True)
def empty_permuted(
    size: Shape, physical_layout: Shape, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    return _filled(0, spec)


@lowers("aten.ones.default", spec=True)
def ones(size: Shape, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(1, spec)


@lowers("aten.full_like.default", spec=True)
def full_like(x: Tensor, fill_value: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(fill_value, spec)


@lowers("aten.zeros_like.default", "aten.empty_like.default", spec=True)
def zeros_like(x: Tensor, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(0, spec)


@lowers("aten.ones_like.default", spec=True)
def ones_like(x: Tensor, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(1, spec)


@lowers("aten.new_full.default", spec=True)
def new_full(
    x: Tensor, size: Shape, fill_value: Number, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    return _filled(fill_value, spec)


@lowers("aten.new_zeros.default", "aten.new_empty.default", spec=True)
def new_zeros(x: Tensor, size: Shape, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(0, spec)


@lowers("aten.new_ones.default", spec=True)
def new_ones(x: Tensor, size: Shape, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(1, spec)


@lowers("aten.copy.default", spec=True)
def copy(x: Tensor, src: Operand, non_blocking: bool = False, *, spec: TensorSpec) -> Tensor:
    """`x.copy_(src)` after functionalisation: only the shape and dtype of `x` matter."""
    return to_shape(cast(src, DTYPES[spec.dtype]), spec.shape)


@lowers("aten.eye.default", "aten.eye.m", spec=True)
def eye(n: int, m: int | None = None, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return constant(np.eye(n, m, dtype=spec.dtype), place())


@lowers("aten.tril.default")
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    return _kept(x, np.tril(np.ones(tuple(x.shape[-2:]), bool), diagonal))


@lowers("aten.triu.default")
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    return _kept(x, np.triu(np.ones(tuple(x.shape[-2:]), bool), diagonal))


def _kept(x: Tensor, kept: np.ndarray) -> Tensor:
    """A choice, not a product: what is cut away may be infinite."""
    through = x.to(flow.int32) if x.dtype in (flow.bool, flow.uint8, flow.int8) else x
    nothing = filled([], 0, through.dtype, x.device)
    return flow.where(constant(kept, x.device), through, nothing)


def _filled(value: Number, spec: TensorSpec) -> Tensor:
    return filled(spec.shape, value, DTYPES[spec.dtype], place())


@lowers("aten.fill.Scalar", "aten.fill.Tensor", spec=True)
def fill(x: Tensor, value: Operand, *, spec: TensorSpec) -> Tensor:
    if is_tensor(value):
        return to_shape(cast(value, x.dtype), spec.shape)
    return filled(spec.shape, value, x.dtype, x.device)
