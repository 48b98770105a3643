"""Write ops for which OpenVINO's front end has no rule, or a wrong one, as ops that it has.

`REWRITES` maps an overload to a function that is called with `emit` and the node's arguments.
`emit(overload, *arguments)` appends a call to the graph and returns it. `meta["shape"]` and
`meta["dtype"]` of a node that stands for a value of the captured graph say what torch has there.
An op with several results gives a tuple.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch.fx import Node

aten = torch.ops.aten
Emit: TypeAlias = Callable[..., Node]
Rewrite: TypeAlias = Callable[..., Node | tuple[Node, ...]]


def unchanged(op: str) -> Rewrite:
    """Return what emits a call of `op` ("aten.view.default") as it is."""
    overload = operator.attrgetter(op)(torch.ops)

    def emit_it(emit: Emit, *args: Any, **kwargs: Any) -> Node:
        return emit(overload, *args, **kwargs)

    return emit_it


def _conv2d(
    emit: Emit,
    x: Node,
    weight: Node,
    bias: Node | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Node:
    geometry = [list(stride), list(padding), list(dilation)]
    has_batch = len(x.meta["shape"]) == 4
    given = x if has_batch else emit(aten.unsqueeze.default, x, 0)
    y = emit(aten.convolution.default, given, weight, bias, *geometry, False, [0, 0], groups)
    return y if has_batch else emit(aten.squeeze.dims, y, [0])


def _group_norm(
    emit: Emit,
    x: Node,
    groups: int,
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Node:
    batch, channels, *spatial = x.meta["shape"]
    sizes = (batch, channels, math.prod(spatial))
    normed = emit(aten.native_group_norm.default, x, weight, bias, *sizes, groups, eps)
    return emit(operator.getitem, normed, 0)


def _native_group_norm(
    emit: Emit,
    x: Node,
    weight: Node | None,
    bias: Node | None,
    batch: int,
    channels: int,
    size: int,
    groups: int,
    eps: float,
) -> tuple[Node, ...]:
    """The front end gives the first of the three results alone."""
    grouped = emit(aten.view.default, x, [batch, groups, channels // groups * size])
    mean, rstd = _moments(emit, grouped, [2], eps, keepdim=False)
    return _group_norm(emit, x, groups, weight, bias, eps), mean, rstd


def _layer_norm(
    emit: Emit,
    x: Node,
    shape: Sequence[int],
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Node:
    normed = emit(aten.native_layer_norm.default, x, list(shape), weight, bias, eps)
    return emit(operator.getitem, normed, 0)


def _native_layer_norm(
    emit: Emit,
    x: Node,
    shape: Sequence[int],
    weight: Node | None,
    bias: Node | None,
    eps: float,
) -> tuple[Node, ...]:
    """The front end gives the first of the three results alone."""
    rank = len(x.meta["shape"])
    axes = list(range(rank - len(shape), rank))
    return _layer_norm(emit, x, shape, weight, bias, eps), *_moments(emit, x, axes, eps)


def _batch_norm(
    emit: Emit,
    x: Node,
    weight: Node | None,
    bias: Node | None,
    mean: Node,
    variance: Node,
    momentum: float,
    eps: float,
) -> tuple[Node, ...]:
    """The front end gives the first of the three results alone; the others have no elements."""
    given = (x, weight, bias, mean, variance, momentum, eps)
    normed = emit(aten._native_batch_norm_legit_no_training.default, *given)
    none = emit(aten.slice.Tensor, mean, 0, 0, 0)
    return emit(operator.getitem, normed, 0), none, none


def _moments(
    emit: Emit, x: Node, axes: list[int], eps: float, *, keepdim: bool = True
) -> tuple[Node, Node]:
    """Return the mean, and one over the standard deviation."""
    mean = emit(aten.mean.dim, x, axes, True)
    squares = emit(aten.pow.Tensor_Scalar, emit(aten.sub.Tensor, x, mean), 2)
    variance = emit(aten.add.Tensor, emit(aten.mean.dim, squares, axes, keepdim), eps)
    kept = mean if keepdim else emit(aten.squeeze.dims, mean, axes)
    return kept, emit(aten.rsqrt.default, variance)


def _var(
    emit: Emit,
    x: Node,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Node:
    return _var_mean(emit, x, dim, correction=correction, keepdim=keepdim)[0]


def _var_mean(
    emit: Emit,
    x: Node,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> tuple[Node, Node]:
    """The front end's own rule passes over `correction`."""
    axes, count = _axes(x, dim)
    mean = emit(aten.mean.dim, x, axes, True)
    squares = emit(aten.pow.Tensor_Scalar, emit(aten.sub.Tensor, x, mean), 2)
    total = emit(aten.sum.dim_IntList, squares, axes, keepdim)
    freedom = max(0.0, count - (1.0 if correction is None else correction))
    variance = emit(aten.div.Tensor, total, freedom)
    return variance, mean if keepdim else emit(aten.squeeze.dims, mean, axes)


def _vector_norm(
    emit: Emit,
    x: Node,
    ord: float = 2,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Node:
    """The front end takes no defaults, and of infinite orders one axis."""
    given = emit(
        aten.abs.default, x if dtype is None else emit(aten._to_copy.default, x, dtype=dtype)
    )
    axes, _ = _axes(x, dim)
    if not axes:
        return given
    if ord in (math.inf, -math.inf):
        reduce = aten.amax.default if ord > 0 else aten.amin.default
        return emit(reduce, given, axes, keepdim)
    if ord == 0:
        counted = emit(aten._to_copy.default, emit(aten.ne.Scalar, given, 0), dtype=torch.float32)
        return emit(aten.sum.dim_IntList, counted, axes, keepdim)
    if ord == 1:
        return emit(aten.sum.dim_IntList, given, axes, keepdim)
    powers = emit(aten.pow.Tensor_Scalar, given, ord)
    total = emit(aten.sum.dim_IntList, powers, axes, keepdim)
    if ord == 2:
        return emit(aten.sqrt.default, total)
    return emit(aten.pow.Tensor_Scalar, total, 1.0 / ord)


def _axes(x: Node, dim: Sequence[int] | None) -> tuple[list[int], int]:
    """Return the axes that `dim` names (None or empty: all), and the elements along them."""
    shape = x.meta["shape"]
    axes = [axis % len(shape) for axis in dim] if dim else list(range(len(shape)))
    return axes, math.prod(shape[axis] for axis in axes)


def _of_a_scalar(op: str, alone: Callable[[Emit, Node], Any]) -> Rewrite:
    """Return a rewrite of `op`, which the front end takes where its input has axes."""
    overload = operator.attrgetter(op)(torch.ops)

    def rewrite(emit: Emit, x: Node, *args: Any, **kwargs: Any) -> Any:
        if not x.meta["shape"]:
            return alone(emit, x)
        return emit(overload, x, *args, **kwargs)

    return rewrite


def _itself(emit: Emit, x: Node) -> Node:
    return emit(aten.alias.default, x)


def _is_not_zero(emit: Emit, x: Node) -> Node:
    return emit(aten.ne.Scalar, x, 0)


def _first(emit: Emit, x: Node) -> Node:
    return emit(aten.full.default, [], 0, dtype=torch.int64)


def _itself_and_first(emit: Emit, x: Node) -> tuple[Node, Node]:
    return _itself(emit, x), _first(emit, x)


def _repeat(emit: Emit, x: Node, repeats: Sequence[int]) -> Node:
    """OpenVINO's Tile gives uninitialized memory where there is nothing to repeat."""
    once = all(count == 1 for count in repeats) and len(repeats) == len(x.meta["shape"])
    return _itself(emit, x) if once else emit(aten.repeat.default, x, repeats)


def _avg_pool2d(emit: Emit, x: Node, kernel_size: Sequence[int], *args: Any, **kwargs: Any) -> Node:
    return _avg_pool(emit, 2, aten.avg_pool2d.default, x, kernel_size, *args, **kwargs)


def _avg_pool3d(emit: Emit, x: Node, kernel_size: Sequence[int], *args: Any, **kwargs: Any) -> Node:
    return _avg_pool(emit, 3, aten.avg_pool3d.default, x, kernel_size, *args, **kwargs)


def _avg_pool(
    emit: Emit,
    sides: int,
    overload: Any,
    x: Node,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Node:
    """The front end takes no divisor; `limits.py` leaves windows that are all of one size."""
    kernel, steps, pads = (
        list(given) * (sides // len(given))
        for given in (kernel_size, stride or kernel_size, padding)
    )
    if divisor_override is None:
        return emit(overload, x, kernel, steps, pads, ceil_mode, count_include_pad)
    mean = emit(overload, x, kernel, steps, pads, ceil_mode, True)
    return emit(aten.mul.Tensor, mean, math.prod(kernel) / divisor_override)


def _is_not_number(emit: Emit, x: Node) -> Node:
    """OpenVINO's own takes floats alone; no integer is NaN or infinite."""
    return emit(aten.ne.Tensor, x, x)


def _isnan(emit: Emit, x: Node) -> Node:
    return emit(aten.isnan.default, x) if _is_float(x) else _is_not_number(emit, x)


def _isinf(emit: Emit, x: Node) -> Node:
    return emit(aten.isinf.default, x) if _is_float(x) else _is_not_number(emit, x)


def _is_float(x: Node) -> bool:
    dtype: torch.dtype = x.meta["dtype"]
    return dtype.is_floating_point


def _softmax(emit: Emit, x: Node, dim: int, dtype: torch.dtype | None = None) -> Node:
    given = x if dtype is None else emit(aten._to_copy.default, x, dtype=dtype)
    return emit(aten._softmax.default, given, dim, False)


def _sub_scalar(emit: Emit, x: Node, other: float, alpha: float = 1) -> Node:
    return emit(aten.sub.Tensor, x, other * alpha)


def _div_scalar_mode(emit: Emit, x: Node, other: float, *, rounding_mode: str | None) -> Node:
    return emit(aten.div.Tensor_mode, x, other, rounding_mode=rounding_mode)


def _bitwise_or_scalar(emit: Emit, x: Node, other: int) -> Node:
    return emit(aten.bitwise_or.Tensor, x, _filled(emit, x, other))


def _bitwise_xor_scalar(emit: Emit, x: Node, other: int) -> Node:
    return emit(aten.bitwise_xor.Tensor, x, _filled(emit, x, other))


def _exp2(emit: Emit, x: Node) -> Node:
    return emit(aten.pow.Scalar, 2.0, x)


def _trunc(emit: Emit, x: Node) -> Node:
    size = emit(aten.floor.default, emit(aten.abs.default, x))
    return emit(aten.mul.Tensor, emit(aten.sign.default, x), size)


def _round_decimals(emit: Emit, x: Node, *, decimals: int) -> Node:
    if decimals < 0:
        shift = 10.0**-decimals
        rounded = emit(aten.round.default, emit(aten.div.Tensor, x, shift))
        return emit(aten.mul.Tensor, rounded, shift)
    shift = 10.0**decimals
    rounded = emit(aten.round.default, emit(aten.mul.Tensor, x, shift))
    return emit(aten.div.Tensor, rounded, shift)


def _empty_permuted(
    emit: Emit, size: Sequence[int], order: Sequence[int], *, dtype: torch.dtype, **_: Any
) -> Node:
    return emit(aten.full.default, list(size), 0, dtype=dtype)


def _filled(emit: Emit, x: Node, value: float) -> Node:
    return emit(aten.full_like.default, x, value)


REWRITES: Mapping[str, Rewrite] = {
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.amax.default": _of_a_scalar("aten.amax.default", _itself),
    "aten.amin.default": _of_a_scalar("aten.amin.default", _itself),
    "aten.any.dim": _of_a_scalar("aten.any.dim", _is_not_zero),
    "aten.argmax.default": _of_a_scalar("aten.argmax.default", _first),
    "aten.argmin.default": _of_a_scalar("aten.argmin.default", _first),
    "aten.avg_pool2d.default": _avg_pool2d,
    "aten.avg_pool3d.default": _avg_pool3d,
    "aten.bitwise_or.Scalar": _bitwise_or_scalar,
    "aten.bitwise_xor.Scalar": _bitwise_xor_scalar,
    "aten.conv2d.default": _conv2d,
    "aten.div.Scalar_mode": _div_scalar_mode,
    "aten.empty_permuted.default": _empty_permuted,
    "aten.exp2.default": _exp2,
    "aten.group_norm.default": _group_norm,
    "aten.isinf.default": _isinf,
    "aten.isnan.default": _isnan,
    "aten.layer_norm.default": _layer_norm,
    "aten.linalg_vector_norm.default": _vector_norm,
    "aten.max.dim": _of_a_scalar("aten.max.dim", _itself_and_first),
    "aten.mean.dim": _of_a_scalar("aten.mean.dim", _itself),
    "aten.min.dim": _of_a_scalar("aten.min.dim", _itself_and_first),
    "aten.native_group_norm.default": _native_group_norm,
    "aten.native_layer_norm.default": _native_layer_norm,
    "aten.prod.dim_int": _of_a_scalar("aten.prod.dim_int", _itself),
    "aten.repeat.default": _repeat,
    "aten.round.decimals": _round_decimals,
    "aten.softmax.int": _softmax,
    "aten.sub.Scalar": _sub_scalar,
    "aten.trunc.default": _trunc,
    "aten.var.correction": _var,
    "aten.var_mean.correction": _var_mean,
}
