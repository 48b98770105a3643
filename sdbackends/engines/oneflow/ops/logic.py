"""Questions about elements, and choices by their answers: comparisons, logic, where."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES, common, is_floating
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import (
    Operand,
    Tensor,
    cast,
    is_tensor,
    operand,
    wide,
)

_COMPARISONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "eq": lambda x, y: x == y,
    "ge": lambda x, y: x >= y,
    "gt": lambda x, y: x > y,
    "le": lambda x, y: x <= y,
    "lt": lambda x, y: x < y,
    "ne": lambda x, y: x != y,
}
_LOGICAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": flow.logical_and,
    "or": flow.logical_or,
    "xor": flow.logical_xor,
}


@lowers("aten.isnan.default")
def isnan(x: Tensor) -> Tensor:
    return x != x


@lowers("aten.isinf.default")
def isinf(x: Tensor) -> Tensor:
    return flow.abs(wide(x)) == math.inf


@lowers("aten.logical_not.default")
def logical_not(x: Tensor) -> Tensor:
    return flow.logical_not(x)


@lowers("aten.bitwise_not.default")
def bitwise_not(x: Tensor) -> Tensor:
    return flow.logical_not(x) if x.dtype == flow.bool else -1 - x


def _compare(x: Operand, other: Operand, compare: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Both sides in one dtype; an integer against a fraction becomes a float."""
    like: Tensor = x if is_tensor(x) else other
    if is_tensor(x) and is_tensor(other):
        dtype = common(x, other)
    elif isinstance(other if is_tensor(x) else x, float) and not is_floating(like.dtype):
        dtype = flow.float32
    else:
        dtype = flow.int64 if not is_floating(like.dtype) else like.dtype
    if dtype in (flow.bool, flow.uint8, flow.int8):
        dtype = flow.int32
    return compare(operand(x, dtype, like.device), operand(other, dtype, like.device))


def _register_comparisons() -> None:
    for name, compare in _COMPARISONS.items():
        lowers(f"aten.{name}.Tensor", f"aten.{name}.Scalar")(
            lambda x, other, f=compare: _compare(x, other, f)
        )
    for name, logical in _LOGICAL.items():
        lowers(f"aten.logical_{name}.default")(
            lambda x, other, f=logical: f(cast(x, flow.bool), cast(other, flow.bool))
        )
        bitwise = lowers(
            f"aten.bitwise_{name}.Tensor", f"aten.bitwise_{name}.Scalar", only_if=_of_booleans
        )
        bitwise(lambda x, other, f=logical: f(x, operand(other, flow.bool, x.device)))


def _of_booleans(x: TensorSpec, other: Any) -> str:
    """OneFlow has no operations on bits; on booleans they are the logical ones."""
    second = other.dtype if isinstance(other, TensorSpec) else type(other).__name__
    return "" if x.dtype == second == "bool" else "of integers"


_register_comparisons()


@lowers("aten.where.self", spec=True)
def where(condition: Tensor, x: Tensor, other: Tensor, *, spec: TensorSpec) -> Tensor:
    """There is no kernel for booleans with every shape, nor one for bytes: both go as int32."""
    dtype = DTYPES[spec.dtype]
    through = dtype if is_floating(dtype) or dtype == flow.int64 else flow.int32
    sides = (cast(cast(v, dtype), through) for v in (x, other))
    return flow.where(cast(condition, flow.bool), *sides)
