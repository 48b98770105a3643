"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import oneflow as flow

from sdbackends.engines.oneflow.dtypes import is_floating
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, cast, wide

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
}


def _registered(table: dict[str, Callable[..., Tensor]], first: Callable[[Tensor], Tensor]) -> None:
    for name, function in table.items():
        lowers(f"aten.{name}.default")(lambda x, f=function: f(first(x)))


_registered(_REAL, wide)


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


@lowers("aten.round.decimals")
def round_decimals(x: Tensor, *, decimals: int) -> Tensor:
    scale = 10.0**decimals
    return flow._C.rint(x * scale) / scale


@lowers("aten.clone.default", "aten.alias.default", "aten.lift_fresh_copy.default")
def clone(x: Tensor) -> Tensor:
    """Nothing writes into a tensor here, so nothing needs a copy of its own."""
    return x


@lowers("aten._to_copy.default")
def to_copy(x: Tensor, dtype: Any = None) -> Tensor:
    """A float becomes an integer towards zero, as in C; a truth is what is not zero."""
    if dtype is None or dtype == x.dtype:
        return x
    return x != 0 if dtype == flow.bool else x.to(dtype)
