"""Attention, composed of products and a softmax; on CUDA OneFlow's fused kernel where it fits.

The score matrix is what attention needs memory for: 8 heads of 4096 queries and keys, twice, are
1 GB of float32. Eager replay therefore takes the queries in pieces, each with its whole softmax;
an `nn.Graph` holds every intermediate for good, so pieces would gain it nothing.
"""

from __future__ import annotations

import math

import numpy as np
import oneflow as flow

from sdbackends.engines.lowering.conditions import without_dropout
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import (
    Tensor,
    building,
    cast,
    constant,
    filled,
    is_tensor,
    to_shape,
    wide,
)

#: Scores held at once by eager replay, at most: 256 MB of float32.
PIECE = 2**26
#: Below every finite score, and finite itself.
_LOWEST = float(np.finfo(np.float32).min)


@lowers("aten.scaled_dot_product_attention.default", only_if=without_dropout)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Softmax in float32 and in one piece; a row in which everything is masked gives zeros."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    shape = (*query.shape[:-1], value.shape[-1])
    query, key, value = _four(query), _four(key), _four(value)
    if enable_gqa:
        times = query.shape[1] // key.shape[1]
        key, value = _each_head(key, times), _each_head(value, times)
    bias = None if attn_mask is None else _bias(attn_mask)
    if _fused_takes(query, key, value, bias, is_causal):
        return _fused(query, key, value, scale).reshape(*shape)
    if is_causal:
        bias = _causal(query.shape[2], key.shape[2], query.device)
    return _composed(query, key, value, bias, scale).reshape(*shape)


def _four(x: Tensor) -> Tensor:
    """Batch, heads, rows, columns, whatever leading dimensions there were."""
    if x.ndim == 4:
        return x
    lead = (1,) * (4 - x.ndim) + tuple(x.shape) if x.ndim < 4 else (-1, *x.shape[-3:])
    return x.reshape(*lead)


def _each_head(x: Tensor, times: int) -> Tensor:
    batch, heads, rows, width = x.shape
    spread = x.unsqueeze(2).expand(batch, heads, times, rows, width)
    return spread.reshape(batch, heads * times, rows, width)


def _bias(mask: Tensor) -> Tensor:
    """The mask as numbers to add."""
    if mask.dtype != flow.bool:
        return _four(wide(mask))
    seen = filled([], 0.0, flow.float32, mask.device)
    unseen = filled([], -math.inf, flow.float32, mask.device)
    return flow.where(_four(mask), seen, unseen)


def _causal(rows: int, keys: int, device: object) -> Tensor:
    seen = np.tril(np.ones((rows, keys), bool))
    return constant(np.where(seen, 0, -np.inf).astype(np.float32)[None, None], device)


def _composed(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    batch, heads, rows, width = query.shape
    keys = key.shape[2]
    across = key.expand(batch, heads, keys, width).transpose(2, 3).contiguous()
    size = rows if building() else max(1, PIECE // max(1, batch * heads * keys))
    pieces = [
        _rows(query[:, :, start : start + size], across, value, _part(bias, start, size), scale)
        for start in range(0, rows, size)
    ]
    return pieces[0] if len(pieces) == 1 else flow.cat(pieces, dim=2)


def _part(bias: Tensor | None, start: int, size: int) -> Tensor | None:
    """The rows of the mask that belong to a piece; one row stands for all queries."""
    if bias is None or bias.shape[2] == 1:
        return bias
    return bias[:, :, start : start + size]


def _rows(
    query: Tensor, across: Tensor, value: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    scores = wide(flow.matmul(query * scale, across))
    if bias is None:
        weights = flow.softmax(scores, dim=-1)
        return flow.matmul(cast(weights, value.dtype), value)
    weights = flow.softmax(flow.clamp(scores + bias, _LOWEST, None), dim=-1)
    return _zeroed(flow.matmul(cast(weights, value.dtype), value), bias)


def _zeroed(result: Tensor, bias: Tensor) -> Tensor:
    """Rows in which everything is masked: softmax has no answer to them, torch gives zeros.

    Here they have been clamped, so that they hold a mean, and are multiplied by zero. The mask is
    asked, being smaller than the scores; their maximum would not tell, because for OneFlow the
    maximum of nothing but -inf is the lowest float.
    """
    batch, heads, rows, width = result.shape
    seen = flow.amax((bias > -math.inf).to(flow.int32), dim=-1, keepdim=True)
    each = to_shape(cast(seen, result.dtype), (batch, heads, rows, 1)).reshape(-1, 1, 1)
    return (result.reshape(-1, 1, width) * each).reshape(batch, heads, rows, width)


def _fused_takes(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool
) -> bool:
    """CUTLASS attention: half precision, no mask, heads of a multiple of 8."""
    same = query.dtype == key.dtype == value.dtype == flow.float16
    batches = query.shape[:2] == key.shape[:2] == value.shape[:2]
    widths = query.shape[3] % 8 == 0 and value.shape[3] % 8 == 0
    on_cuda = is_tensor(query) and query.device.type == "cuda"
    return on_cuda and same and batches and widths and bias is None and not is_causal


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """It scales by one over the root of the width itself, and takes rows of all heads."""
    batch, heads, rows, width = query.shape
    own = 1 / math.sqrt(width)
    if not math.isclose(scale, own, rel_tol=1e-6):
        query = query * (scale / own)
    query, key, value = (_rows_of_heads(x) for x in (query, key, value))
    result = flow._C.fused_multi_head_attention_inference(query, key, value, heads, causal=False)
    return result.reshape(batch, rows, heads, -1).transpose(1, 2)


def _rows_of_heads(x: Tensor) -> Tensor:
    batch, heads, rows, width = x.shape
    return x.transpose(1, 2).reshape(batch, rows, heads * width)
