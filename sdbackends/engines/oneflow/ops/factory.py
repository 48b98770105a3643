"""Ops that make a tensor from nothing or in the image of another one.

What they make is known from the graph alone, so the recorded shape and dtype are all they read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

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
    place,
    to_shape,
)

Shape = Sequence[int]


@lowers("aten.arange.start_step", spec=True)
def arange(
    start: Number, end: Number, step: Number = 1, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    """Computed in float64 like torch, so that long ranges with a fractional step agree."""
    count = max(0, math.ceil((end - start) / step))
    exact = np.float64 if "float" in spec.dtype else np.int64
    steps: np.ndarray = np.arange(count, dtype=exact)
    return constant((start + steps * step).astype(spec.dtype), place())


@lowers("aten.full.default", spec=True)
def full(size: Shape, fill_value: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(fill_value, spec)


@lowers("aten.scalar_tensor.default", spec=True)
def scalar_tensor(s: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(s, spec)


@lowers("aten.empty.memory_format", spec=True)
def empty(size: Shape, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    """What `empty` holds is nobody's business, so zeros will do."""
    return _filled(0, spec)


@lowers("aten.empty_permuted.default", spec=True)
def empty_permuted(
    size: Shape, physical_layout: Shape, dtype: Any = None, *, spec: TensorSpec
) -> Tensor:
    return _filled(0, spec)


@lowers("aten.full_like.default", spec=True)
def full_like(x: Tensor, fill_value: Number, dtype: Any = None, *, spec: TensorSpec) -> Tensor:
    return _filled(fill_value, spec)


@lowers("aten.copy.default", spec=True)
def copy(x: Tensor, src: Operand, non_blocking: bool = False, *, spec: TensorSpec) -> Tensor:
    """`x.copy_(src)` after functionalisation: only the shape and dtype of `x` matter."""
    return to_shape(cast(src, DTYPES[spec.dtype]), spec.shape)


def _filled(value: Number, spec: TensorSpec) -> Tensor:
    return filled(spec.shape, value, DTYPES[spec.dtype], place())
