"""Arithmetic, element by element.

torch first brings both sides to the dtype of the result, which the graph recorded; so does this,
because OneFlow divides booleans as integers and knows no sign among small integers.
"""

from __future__ import annotations

from collections.abc import Callable

import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES, is_floating
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import (
    Number,
    Operand,
    Tensor,
    cast,
    is_tensor,
    operand,
    wide,
)


def _sides(x: Operand, other: Operand, spec: TensorSpec) -> tuple[Operand, Operand]:
    """Tensors in the result's dtype; a number stays a number, which OneFlow handles as well."""
    dtype = DTYPES[spec.dtype]
    return tuple(cast(v, dtype) if is_tensor(v) else v for v in (x, other))  # type: ignore[return-value]


def _times(x: Operand, factor: Number) -> Operand:
    return x if factor == 1 else x * factor


@lowers("aten.add.Tensor", "aten.add.Scalar", spec=True)
def add(x: Operand, other: Operand, alpha: Number = 1, *, spec: TensorSpec) -> Tensor:
    x, other = _sides(x, other, spec)
    if spec.dtype == "bool":
        return flow.logical_or(x, other)
    return x + _times(other, alpha)


@lowers("aten.sub.Tensor", "aten.sub.Scalar", spec=True)
def sub(x: Operand, other: Operand, alpha: Number = 1, *, spec: TensorSpec) -> Tensor:
    x, other = _sides(x, other, spec)
    return x - _times(other, alpha)


@lowers("aten.mul.Tensor", "aten.mul.Scalar", spec=True)
def mul(x: Operand, other: Operand, *, spec: TensorSpec) -> Tensor:
    x, other = _sides(x, other, spec)
    return flow.logical_and(x, other) if spec.dtype == "bool" else x * other


@lowers("aten.div.Tensor", "aten.div.Scalar", spec=True)
def div(x: Operand, other: Operand, *, spec: TensorSpec) -> Tensor:
    x, other = _sides(x, other, spec)
    return x / other


@lowers("aten.div.Tensor_mode", "aten.div.Scalar_mode", spec=True)
def div_mode(x: Tensor, other: Operand, *, rounding_mode: str | None, spec: TensorSpec) -> Tensor:
    if rounding_mode is None:
        return div(x, other, spec=spec)
    if rounding_mode == "floor":
        return _floor_divide(x, other, spec)
    left, right = _tensors(x, other, spec)
    if is_floating(left.dtype):
        return flow._C.trunc(left / right)
    return flow._C.trunc_divide(*_spread(left, right))


def _tensors(x: Operand, other: Operand, spec: TensorSpec) -> tuple[Tensor, Tensor]:
    like: Tensor = x if is_tensor(x) else other
    dtype = DTYPES[spec.dtype]
    return operand(x, dtype, like.device), operand(other, dtype, like.device)


def _floor_divide(x: Tensor, other: Operand, spec: TensorSpec) -> Tensor:
    """OneFlow's own goes towards zero for integers. For floats this is torch's algorithm, which
    starts from the exact remainder, so that 0.6 // 0.2 is what it is in Python.
    """
    left, right = _spread(*_tensors(x, other, spec))
    if not is_floating(left.dtype):
        quotient = flow._C.trunc_divide(left, right)
        return quotient - cast(_signs_differ(left - quotient * right, right), left.dtype)
    rest = flow.fmod(left, right)
    quotient = (left - rest) / right - cast(_signs_differ(rest, right), left.dtype)
    low = flow.floor(quotient)
    whole = low + cast(quotient - low > 0.5, left.dtype)
    return flow.where(right == 0, left / right, whole)


def _signs_differ(rest: Tensor, divisor: Tensor) -> Tensor:
    """Where a remainder that is not zero points the other way than the divisor."""
    opposite = flow.logical_xor(rest < 0, divisor < 0)
    return flow.logical_and(rest != 0, opposite)


@lowers("aten.fmod.Tensor", "aten.fmod.Scalar", spec=True)
def fmod(x: Tensor, other: Operand, *, spec: TensorSpec) -> Tensor:
    return flow.fmod(*_spread(*_tensors(x, other, spec)))


@lowers("aten.remainder.Tensor", "aten.remainder.Scalar", spec=True)
def remainder(x: Operand, other: Operand, *, spec: TensorSpec) -> Tensor:
    """The sign is the divisor's."""
    left, right = _spread(*_tensors(x, other, spec))
    rest = flow.fmod(left, right)
    return rest + right * cast(_signs_differ(rest, right), left.dtype)


@lowers("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor", "aten.pow.Scalar", spec=True)
def pow(x: Operand, exponent: Operand, *, spec: TensorSpec) -> Tensor:
    """Small whole powers are products: exact for integers, and faster."""
    if not is_tensor(exponent) and exponent in (1, 2, 3, 4):
        base = cast(x, DTYPES[spec.dtype])
        square = base * base if exponent > 1 else base
        return {1: square, 2: square, 3: square * base, 4: square * square}[int(exponent)]
    if not is_tensor(exponent) and exponent == 0.5:
        return flow.sqrt(cast(x, DTYPES[spec.dtype]))
    left, right = _spread(*_tensors(x, exponent, spec))
    return flow.pow(left, right)


@lowers("aten.maximum.default", spec=True)
def maximum(x: Tensor, other: Operand, *, spec: TensorSpec) -> Tensor:
    return _picked(flow.maximum, flow.logical_or, x, other, spec)


@lowers("aten.minimum.default", spec=True)
def minimum(x: Tensor, other: Operand, *, spec: TensorSpec) -> Tensor:
    return _picked(flow.minimum, flow.logical_and, x, other, spec)


def _picked(
    pick: Callable[..., Tensor],
    of_booleans: Callable[..., Tensor],
    x: Tensor,
    other: Operand,
    spec: TensorSpec,
) -> Tensor:
    """A NaN on either side is the result, as in torch."""
    left, right = _tensors(x, other, spec)
    if spec.dtype == "bool":
        return of_booleans(left, right)
    if spec.dtype in ("uint8", "int8"):  # no kernel
        left, right = left.to(flow.int32), right.to(flow.int32)
    picked = pick(left, right)
    if not is_floating(left.dtype):
        return picked
    strange = flow.logical_or(left != left, right != right)
    return flow.where(strange, left + right, picked)


@lowers("aten.clamp.default", "aten.clamp.Tensor", spec=True)
def clamp(
    x: Tensor, min: Operand | None = None, max: Operand | None = None, *, spec: TensorSpec
) -> Tensor:
    """Where the bounds cross, torch gives `max`."""
    x = cast(x, DTYPES[spec.dtype])
    if not is_tensor(min) and not is_tensor(max) and is_floating(x.dtype):
        return _clamp_by_numbers(x, min, max)
    if min is not None:
        x = maximum(x, min, spec=spec)
    return x if max is None else minimum(x, max, spec=spec)


def _clamp_by_numbers(x: Tensor, min: Number | None, max: Number | None) -> Tensor:
    """One kernel, the common case; it lets a NaN through."""
    if min is not None and max is not None and min > max:
        min = max
    return x if min is None and max is None else flow.clamp(x, min, max)


@lowers("aten.atan2.default")
def atan2(x: Tensor, other: Tensor) -> Tensor:
    return flow.atan2(*_spread(wide(x), wide(other)))


def _spread(x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Some of OneFlow's kernels want both sides in the full shape."""
    if tuple(x.shape) == tuple(other.shape):
        return x, other
    return tuple(flow.broadcast_tensors(x, other))
