"""Ops that work element by element: arithmetic, comparisons, choices.

torch's arithmetic first brings both sides to the dtype of the result, which the graph recorded; so
do these, because OneFlow divides booleans as integers and compares small integers without sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import oneflow as flow

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.oneflow.dtypes import DTYPES, common, is_floating, is_whole
from sdbackends.engines.oneflow.lowering.registry import lowers
from sdbackends.engines.oneflow.lowering.tensors import (
    Number,
    Operand,
    Tensor,
    cast,
    filled,
    floating,
    is_tensor,
    operand,
    to_shape,
    wide,
)

#: Functions of real numbers: an integer becomes a float first.
_REAL: dict[str, Callable[[Tensor], Tensor]] = {
    "acos": flow.acos,
    "acosh": flow.acosh,
    "asin": flow.asin,
    "asinh": flow.asinh,
    "atan": flow.atan,
    "atanh": flow.atanh,
    "cos": flow.cos,
    "cosh": flow.cosh,
    "erf": flow.erf,
    "erfc": flow.erfc,
    "exp": flow.exp,
    "exp2": lambda x: flow.exp(x * math.log(2)),
    "expm1": flow.expm1,
    "log": flow.log,
    "log10": flow._C.log10,
    "log1p": flow.log1p,
    "log2": flow.log2,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": flow.rsqrt,
    "sigmoid": flow.sigmoid,
    "sin": flow.sin,
    "sinh": flow.sinh,
    "sqrt": flow.sqrt,
    "tan": flow.tan,
    "tanh": flow.tanh,
}
#: Functions that leave an integer as it is.
_ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "ceil": flow.ceil,
    "floor": flow.floor,
    "round": flow._C.rint,  # to the even neighbour, as torch's; OneFlow's own `round` goes up
    "trunc": flow._C.trunc,
}
_SIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": flow.abs,
    "neg": flow.negative,
    "relu": flow.relu,
    "sign": flow.sign,
    "square": lambda x: x * x,
}
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


def _registered(table: dict[str, Callable[..., Tensor]], first: Callable[[Tensor], Tensor]) -> None:
    for name, function in table.items():
        lowers(f"aten.{name}.default")(lambda x, f=function: f(first(x)))


_registered(_REAL, wide)


@lowers("aten.atan2.default")
def atan2(x: Tensor, other: Tensor) -> Tensor:
    return flow.atan2(*_spread(wide(x), wide(other)))


def _spread(x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Some of OneFlow's kernels want both sides in the full shape."""
    if tuple(x.shape) == tuple(other.shape):
        return x, other
    return tuple(flow.broadcast_tensors(x, other))


def _register_rounding() -> None:
    for name, function in _ROUNDING.items():
        lowers(f"aten.{name}.default")(lambda x, f=function: f(x) if is_floating(x.dtype) else x)
    for name, function in _SIGNED.items():
        lowers(f"aten.{name}.default")(
            lambda x, f=function: (
                cast(f(cast(x, flow.int32)), x.dtype)
                if x.dtype in (flow.bool, flow.uint8, flow.int8)
                else f(x)
            )
        )


_register_rounding()


@lowers("aten.isnan.default")
def isnan(x: Tensor) -> Tensor:
    return x != x


@lowers("aten.isinf.default")
def isinf(x: Tensor) -> Tensor:
    return flow.abs(wide(x)) == math.inf


@lowers("aten.isfinite.default")
def isfinite(x: Tensor) -> Tensor:
    """A NaN is below nothing."""
    return flow.abs(wide(x)) < math.inf


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
    return compare(_side(x, dtype, like), _side(other, dtype, like))


def _side(value: Operand, dtype: Any, like: Tensor) -> Tensor:
    return operand(value, dtype, like.device)


def _register_comparisons() -> None:
    for name, compare in _COMPARISONS.items():
        lowers(f"aten.{name}.Tensor", f"aten.{name}.Scalar")(
            lambda x, other, f=compare: _compare(x, other, f)
        )
    for name, logical in _LOGICAL.items():
        lowers(f"aten.logical_{name}.default")(
            lambda x, other, f=logical: f(cast(x, flow.bool), cast(other, flow.bool))
        )
        lowers(f"aten.bitwise_{name}.Tensor", f"aten.bitwise_{name}.Scalar")(
            lambda x, other, f=logical: _bitwise(x, other, f)
        )


def _bitwise(x: Tensor, other: Any, logical: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """OneFlow has no operations on bits; on booleans they are the logical ones."""
    if x.dtype != flow.bool or (is_tensor(other) and other.dtype != flow.bool):
        raise NotImplementedError("OneFlow has no operations on the bits of integers")
    return logical(x, _side(other, flow.bool, x))


_register_comparisons()


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


@lowers("aten.rsub.Scalar", "aten.rsub.Tensor", spec=True)
def rsub(x: Operand, other: Operand, alpha: Number = 1, *, spec: TensorSpec) -> Tensor:
    return sub(other, x, alpha, spec=spec)


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
        return floor_divide(x, other, spec=spec)
    left, right = _tensors(x, other, spec)
    if is_floating(left.dtype):
        return flow._C.trunc(left / right)
    return flow._C.trunc_divide(*_spread(left, right))


def _tensors(x: Operand, other: Operand, spec: TensorSpec) -> tuple[Tensor, Tensor]:
    like = x if is_tensor(x) else other
    dtype = DTYPES[spec.dtype]
    return _side(x, dtype, like), _side(other, dtype, like)


@lowers("aten.floor_divide.default", "aten.floor_divide.Scalar", spec=True)
def floor_divide(x: Tensor, other: Operand, *, spec: TensorSpec) -> Tensor:
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


@lowers("aten.maximum.default", "aten.clamp_min.Tensor", spec=True)
def maximum(x: Tensor, other: Operand, *, spec: TensorSpec) -> Tensor:
    return _picked(flow.maximum, flow.logical_or, x, other, spec)


@lowers("aten.minimum.default", "aten.clamp_max.Tensor", spec=True)
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


@lowers("aten.clamp_min.default", spec=True)
def clamp_min(x: Tensor, min: Number, *, spec: TensorSpec) -> Tensor:
    return clamp(x, min, spec=spec)


@lowers("aten.clamp_max.default", spec=True)
def clamp_max(x: Tensor, max: Number, *, spec: TensorSpec) -> Tensor:
    return clamp(x, None, max, spec=spec)


@lowers("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", spec=True)
def where(condition: Tensor, x: Operand, other: Operand, *, spec: TensorSpec) -> Tensor:
    """There is no kernel for booleans with every shape, nor one for bytes: both go as int32."""
    dtype = DTYPES[spec.dtype]
    through = dtype if is_floating(dtype) or dtype == flow.int64 else flow.int32
    sides = (operand(v, dtype, condition.device) for v in (x, other))
    return flow.where(cast(condition, flow.bool), *(cast(v, through) for v in sides))


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor", spec=True)
def masked_fill(x: Tensor, mask: Tensor, value: Operand, *, spec: TensorSpec) -> Tensor:
    return where(mask, value, x, spec=spec)


@lowers("aten.round.decimals")
def round_decimals(x: Tensor, *, decimals: int) -> Tensor:
    scale = 10.0**decimals
    return flow._C.rint(x * scale) / scale


@lowers("aten.nan_to_num.default", spec=True)
def nan_to_num(
    x: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    spec: TensorSpec,
) -> Tensor:
    if is_whole(x.dtype) or x.dtype == flow.bool:
        return x
    limit = flow.finfo(x.dtype).max
    x = where(x != x, nan or 0.0, x, spec=spec)
    x = where(x == math.inf, limit if posinf is None else posinf, x, spec=spec)
    return where(x == -math.inf, -limit if neginf is None else neginf, x, spec=spec)


@lowers("aten.lerp.Scalar", "aten.lerp.Tensor")
def lerp(x: Tensor, end: Tensor, weight: Operand) -> Tensor:
    return x + (end - x) * weight


@lowers("aten.addcmul.default")
def addcmul(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    return x + _times(tensor1 * tensor2, value)


@lowers("aten.addcdiv.default")
def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    return x + _times(tensor1 / tensor2, value)


@lowers(
    "aten.clone.default",
    "aten.alias.default",
    "aten.detach.default",
    "aten.contiguous.default",
    "aten.lift_fresh_copy.default",
)
def clone(x: Tensor) -> Tensor:
    """Nothing writes into a tensor here, so nothing needs a copy of its own."""
    return x


@lowers("aten._to_copy.default", "aten.to.dtype")
def to_copy(x: Tensor, dtype: Any = None, *_: bool) -> Tensor:
    """A float becomes an integer towards zero, as in C; a truth is what is not zero."""
    if dtype is None or dtype == x.dtype:
        return x
    return x != 0 if dtype == flow.bool else x.to(dtype)


@lowers("aten.logit.default")
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    bounded = wide(x) if eps is None else flow.clamp(wide(x), eps, 1 - eps)
    return flow.log(bounded / (1 - bounded))


@lowers("aten.deg2rad.default")
def deg2rad(x: Tensor) -> Tensor:
    return floating(x) * (math.pi / 180)


@lowers("aten.fill.Scalar", "aten.fill.Tensor", spec=True)
def fill(x: Tensor, value: Operand, *, spec: TensorSpec) -> Tensor:
    if is_tensor(value):
        return to_shape(cast(value, x.dtype), spec.shape)
    return filled(spec.shape, value, x.dtype, x.device)
