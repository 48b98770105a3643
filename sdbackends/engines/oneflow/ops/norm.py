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

from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, filled, wide


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
        return flow._C.group_norm(x.contiguous(), weight, bias, affine, num_groups, eps)
    rows, _, _ = _standardised(_groups(x, num_groups), eps)
    channels = rows.reshape(x.shape[0], x.shape[1], 1, -1)
    return _affine(channels, _spread(weight), _spread(bias)).reshape(*x.shape)


def _groups(x: Tensor, groups: int) -> Tensor:
    return wide(x).reshape(x.shape[0] * groups, 1, -1)


def _spread(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.reshape(1, -1, 1, 1)


def _standardised(rows: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as (n, 1, length), and the mean and the scale of each as (n, 1, 1).

    The axis in the middle is there for OneFlow's CPU kernels: they add and multiply an (n, 1, 1) to
    an (n, 1, m) two hundred times as fast as an (n, 1) to an (n, m).
    """
    mean = flow.mean(rows, dim=2, keepdim=True)
    centred = rows - mean
    scale = flow.rsqrt(flow.mean(centred * centred, dim=2, keepdim=True) + eps)
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
    _, mean, scale = _standardised(_groups(x, group), eps)
    normed = group_norm(x, group, weight, bias, eps)
    return normed, mean.reshape(n, group), scale.reshape(n, group)


@lowers("aten.layer_norm.default")
def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """On a CPU `F.layer_norm` is safe as well, but composed in a way that is forty times slower."""
    if x.device.type == "cuda" and (weight is None) == (bias is None):
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
    lead = tuple(x.shape[: x.ndim - len(normalized_shape)])
    normed, mean, scale = _standardised(_rows(x, normalized_shape), eps)
    kept = (*lead, *(1 for _ in normalized_shape))
    whole = _affine(normed.reshape(*x.shape), weight, bias)
    return whole, mean.reshape(*kept), scale.reshape(*kept)


def _rows(x: Tensor, normalized_shape: Sequence[int]) -> Tensor:
    length = math.prod(normalized_shape)
    return wide(x).reshape(math.prod(x.shape) // max(1, length), 1, length)


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
    channels = wide(x).reshape(x.shape[0], x.shape[1], 1, -1)
    scale = flow.rsqrt(wide(running_var) + eps)
    centred = (channels - _spread(running_mean)) * _spread(scale)
    normed = _affine(centred, _spread(weight), _spread(bias)).reshape(*x.shape)
    nothing = filled([0], 0.0, flow.float32, x.device)
    return normed, nothing, nothing


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias
