"""Normalisations: statistics in float32, always centred before squaring.

The one-pass form E[x²]-E[x]² loses all digits when the mean is far larger than the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import (
    CHANNELS_LAST,
    Array,
    TaggedArray,
    Value,
    in_order,
    logical,
    with_order,
)
from sdbackends.engines.jax.ops.registry import lowers
from sdbackends.engines.jax.options import JaxOptions


@lowers("aten.group_norm.default", layouts=True, choices=True)
def group_norm(
    x: Value,
    num_groups: int,
    weight: Array | TaggedArray | None = None,
    bias: Array | TaggedArray | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
    *,
    choices: JaxOptions,
) -> Value:
    """Channels-last: sums per channel first (rows are contiguous), then channels into groups."""
    if x.ndim == 4 and (isinstance(x, TaggedArray) or choices.channels_last):
        rows = in_order(x, CHANNELS_LAST)
        return with_order(_group_norm_rows(rows, num_groups, weight, bias, eps), CHANNELS_LAST)
    plain = logical(x).astype(jnp.float32)
    n, c = plain.shape[:2]
    grouped = plain.reshape(n, num_groups, math.prod(plain.shape[1:]) // num_groups)
    centred = grouped - grouped.mean(-1, keepdims=True)
    scale = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + eps)
    spread = (1, c) + (1,) * (plain.ndim - 2)
    return _affine(
        (centred * scale).reshape(plain.shape),
        None if weight is None else logical(weight).reshape(spread),
        None if bias is None else logical(bias).reshape(spread),
    )


def _group_norm_rows(
    x: Array,
    groups: int,
    weight: Array | TaggedArray | None,
    bias: Array | TaggedArray | None,
    eps: float,
) -> Array:
    n, h, w, c = x.shape
    wide = x.astype(jnp.float32)
    count = h * w * (c // groups)

    def per_group(sums: Array) -> Array:
        """Channel sums to the group's mean, given back to each of its channels."""
        means = sums.reshape(n, groups, c // groups).sum(-1) / count
        return jnp.repeat(means, c // groups, axis=1)

    mean = per_group(wide.sum((1, 2)))
    variance = per_group(jnp.square(wide - mean[:, None, None, :]).sum((1, 2)))
    scale = lax.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * logical(weight)
    centred = (wide - mean[:, None, None, :]) * scale[:, None, None, :]
    return centred if bias is None else centred + logical(bias).astype(jnp.float32)


@lowers("aten.native_group_norm.default", layouts=True, choices=True)
def native_group_norm(
    x: Value,
    weight: Array | None,
    bias: Array | None,
    n: int,
    c: int,
    hxw: int,
    group: int,
    eps: float,
    *,
    choices: JaxOptions,
) -> tuple[Value, Array, Array]:
    grouped = logical(x).astype(jnp.float32).reshape(n, group, c * hxw // group)
    normed = group_norm(x, group, weight, bias, eps, choices=choices)
    return normed, grouped.mean(-1), lax.rsqrt(grouped.var(-1) + eps)


@lowers("aten.layer_norm.default")
def layer_norm(
    x: Array,
    normalized_shape: Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Array:
    return native_layer_norm(x, normalized_shape, weight, bias, eps)[0]


@lowers("aten.native_layer_norm.default")
def native_layer_norm(
    x: Array,
    normalized_shape: Sequence[int],
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> tuple[Array, Array, Array]:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    wide = x.astype(jnp.float32)
    mean = wide.mean(axes, keepdims=True)
    centred = wide - mean
    scale = lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + eps)
    return _affine(centred * scale, weight, bias), mean, scale


@lowers("aten._native_batch_norm_legit_no_training.default")
def native_batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    momentum: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    spread = (1, -1) + (1,) * (x.ndim - 2)
    scale = lax.rsqrt(running_var.astype(jnp.float32) + eps).reshape(spread)
    normed = _affine(
        (x.astype(jnp.float32) - running_mean.reshape(spread)) * scale,
        None if weight is None else weight.reshape(spread),
        None if bias is None else bias.reshape(spread),
    )
    nothing = jnp.zeros((0,), x.dtype)
    return normed, nothing, nothing


def _affine(x: Array, weight: Array | None, bias: Array | None) -> Array:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias
