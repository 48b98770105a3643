"""Normalisations: statistics in float32, always centred before squaring.

The one-pass form E[x²]-E[x²] loses all digits when the mean is far larger than the spread. On a CPU
OneFlow has no kernel for group norm, and `_C.layer_norm` aborts the process; on CUDA both are one
fused kernel, which computes in float32 (written from the installed package, never run here).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.engines.oneflow.lowering.registry import lowers
from sdbackends.engines.oneflow.lowering.tensors import Tensor, wide

#: What `rms_norm` adds when it is told nothing: one unit in the last place at 1.
_EPSILON = {flow.float64: 2.0**-52, flow.float32: 2.0**-23, flow.float16: 2.0**-10}


@lowers("aten.group_norm.default")
def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    affine = weight is not None and bias is not None
    if x.device.type == "cuda" and (affine or (weight is None and bias is None)):
        return flow._C.group_norm(
            x.contiguous(), weight, bias, affine, num_groups, eps, "channels_first", "none"
        )
    normed, _, _ = _grouped(x, num_groups, eps)
    spread = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    return _affine(
        normed,
        None if weight is None else weight.reshape(*spread),
        None if bias is None else bias.reshape(*spread),
    )


def _grouped(x: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised by group, and the mean and the scale of each."""
    rows = wide(x).reshape(x.shape[0], groups, -1)
    normed, mean, scale = _standardised(rows, (2,), eps)
    return normed.reshape(*x.shape), mean.reshape(-1, groups), scale.reshape(-1, groups)


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    mean = flow.mean(x, dim=axes, keepdim=True)
    centred = x - mean
    scale = flow.rsqrt(flow.mean(centred * centred, dim=axes, keepdim=True) + eps)
    return centred * scale, mean, scale


@lowers("aten.native_group_norm.default")
def native_group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    c: int,
    hxw: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    _, mean, scale = _grouped(x, group, eps)
    return group_norm(x, group, weight, bias, eps), mean, scale


@lowers("aten.layer_norm.default")
def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """`F.layer_norm` is safe on every device, and fused where it can be."""
    if (weight is None) == (bias is None) and math.prod(x.shape):
        return F.layer_norm(x.contiguous(), tuple(normalized_shape), weight, bias, eps)
    return native_layer_norm(x, normalized_shape, weight, bias, eps)[0]


@lowers("aten.native_layer_norm.default")
def native_layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    normed, mean, scale = _standardised(wide(x), axes, eps)
    return _affine(normed, weight, bias), mean, scale


@lowers("aten.rms_norm.default")
def rms_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    rows = wide(x)
    tiny = _EPSILON[x.dtype] if eps is None else eps
    scale = flow.rsqrt(flow.mean(rows * rows, dim=axes, keepdim=True) + tiny)
    return _affine(rows * scale, weight, None)


@lowers("aten.batch_norm.default")
def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Inference only: a graph that trains is refused by the capture."""
    spread = (1, -1) + (1,) * (x.ndim - 2)
    scale = flow.rsqrt(wide(running_var) + eps).reshape(*spread)
    return _affine(
        (wide(x) - running_mean.reshape(*spread)) * scale,
        None if weight is None else weight.reshape(*spread),
        None if bias is None else bias.reshape(*spread),
    )


@lowers("aten._native_batch_norm_legit_no_training.default")
def native_batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = flow.zeros(0)
    normed = batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps)
    return normed, nothing, nothing


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias
