"""torch.nn.functional, where OneFlow lacks a function or aborts in it."""

from __future__ import annotations

import math
from typing import Any

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.oneflow_host import activations
from sdbackends.oneflow_host.registry import provides


@provides("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """The plain form: OneFlow has no fused attention for a CPU."""
    if enable_gqa and key.shape[1] != query.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = flow.matmul(query, key.transpose(-1, -2)) * factor
    activations.note_scores(scores)
    lowest = flow.finfo(scores.dtype).min
    if is_causal:
        rows, columns = scores.shape[-2:]
        seen = flow.tril(flow.ones(rows, columns, dtype=flow.int32, device=query.device))
        scores = flow.masked_fill(scores, seen == 0, lowest)
    if attn_mask is not None and attn_mask.dtype == flow.bool:
        scores = flow.masked_fill(scores, flow.logical_not(attn_mask), lowest)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = flow.softmax(scores, dim=-1)
    return flow.matmul(F.dropout(weights, dropout_p) if dropout_p else weights, value)


@provides("torch.nn.functional.group_norm", "torch.group_norm")
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """OneFlow's kernel is for CUDA alone; on a CPU it is composed."""
    if input.is_cuda:
        affine = weight is not None
        return flow._C.group_norm(
            input, weight, bias, affine, num_groups, eps, "channels_first", "none"
        )
    shape = input.shape
    rows = input.reshape(shape[0], num_groups, -1)
    centred = rows - flow.mean(rows, dim=2, keepdim=True)
    variance = flow.var(rows, dim=2, unbiased=False, keepdim=True)
    normed = (centred * flow.rsqrt(variance + eps)).reshape(*shape)
    each_channel = (1, shape[1], *(1 for _ in shape[2:]))
    if weight is not None:
        normed = normed * weight.reshape(*each_channel)
    return normed if bias is None else normed + bias.reshape(*each_channel)
