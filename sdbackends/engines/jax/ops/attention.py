"""Attention, chosen by shape and platform.

Plain attention writes the whole score matrix to memory, which makes it the slowest part of a UNet
under XLA:CPU; there the scores are computed in tiles that stay in the cache. On GPUs cuDNN's
kernel is taken for 16-bit values, and XLA's own form elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers
from sdbackends.engines.jax.options import JaxOptions
from sdbackends.engines.lowering.conditions import without_dropout

#: Queries in one tile, at most: 1024 rows of 4096 float32 scores are what a cache still holds.
TILE = 1024
#: Keys over which a row's maximum is taken in a first step, so that both steps vectorise.
LANES = 64
#: Scores of one head from which tiles pay.
LARGE = 2**18
#: Heads wider than this are bound by their products; tiles only cost there (the VAE's one head).
WIDE_HEAD = 160
#: Above this many scores in all, tiles are taken in any case, for the memory's sake.
HUGE = 2**27


@lowers("aten.scaled_dot_product_attention.default", choices=True, only_if=without_dropout)
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    choices: JaxOptions,
) -> Array:
    """Scores and sums in float32; the division by the row's sum comes after the last product."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    leads = [x.shape[:-2] for x in (query, key, value)]
    query, key, value = (_four(x) for x in (query, key, value))
    if enable_gqa:
        leads = leads[:1]
        times = query.shape[1] // key.shape[1]
        key, value = jnp.repeat(key, times, axis=1), jnp.repeat(value, times, axis=1)
    query, key, value = _alike(query, key, value)
    mask = None if attn_mask is None else _four(attn_mask)
    if not is_causal and _tiles_pay(query, key, choices):
        result = _tiled(query, key, value, _bias(query, key, mask), scale, choices)
    elif _library_takes(query, key, value, mask, choices):
        result = _library(query, key, value, mask, is_causal, scale, choices)
    else:
        result = _plain(query, key, value, mask, is_causal, scale, choices)
    return result.reshape(*jnp.broadcast_shapes(*leads), query.shape[-2], value.shape[-1])


def _four(x: Array) -> Array:
    """Batch, heads, rows, columns, whatever leading dimensions there were."""
    if x.ndim > 4:
        return x.reshape(-1, *x.shape[-3:])
    return x.reshape((1,) * (4 - x.ndim) + x.shape)


def _alike(*arrays: Array) -> list[Array]:
    """One batch or one head may stand for all, as in any product of torch's."""
    lead = jnp.broadcast_shapes(*(x.shape[:2] for x in arrays))
    return [jnp.broadcast_to(x, (*lead, *x.shape[2:])) for x in arrays]


def _tiles_pay(query: Array, key: Array, choices: JaxOptions) -> bool:
    if choices.attention in ("plain", "library") or _tile(query.shape[2]) is None:
        return False
    if choices.attention == "tiled":
        return True
    batch, heads, rows, width = query.shape
    scores = rows * key.shape[2]
    if choices.platform != "cpu" or scores < LARGE:
        return False
    return width <= WIDE_HEAD or batch * heads * scores > HUGE


def _tile(rows: int) -> int | None:
    """The largest divisor of `rows` that is a good tile."""
    return next((n for n in range(min(rows, TILE), 127, -1) if rows % n == 0), None)


def _row_maximum(scores: Array) -> Array:
    """In two steps: the first runs over whole vectors, the second over the few that are left."""
    rows, keys = scores.shape
    if keys % LANES == 0:
        scores = scores.reshape(rows, keys // LANES, LANES).max(1)
    return scores.max(-1, keepdims=True)


def _bias(query: Array, key: Array, mask: Array | None) -> Array | None:
    """The mask as numbers to add, for each head one row for all queries or one for each."""
    if mask is None:
        return None
    bias = jnp.where(mask, 0.0, -jnp.inf) if mask.dtype == jnp.bool_ else mask
    shape = (*query.shape[:2], mask.shape[2], key.shape[2])
    return jnp.broadcast_to(bias, shape).reshape(-1, *shape[2:])


def _tiled(
    query: Array, key: Array, value: Array, bias: Array | None, scale: float, choices: JaxOptions
) -> Array:
    """One head after the other, one tile of queries after the other.

    A column of ones in V makes the product carry the row's sum along.
    """
    batch, heads, rows, width = query.shape
    keys, out = key.shape[2], value.shape[3]
    size = _tile(rows)
    assert size is not None

    def tile(q: Array, k: Array, v: Array, b: Array | None) -> Array:
        scores = _scores(q, k, (((1,), (1,)), ((), ())), scale, choices)
        scores = scores if b is None else scores + b
        weights = jnp.exp(scores - _finite(_row_maximum(scores), b)).astype(v.dtype)
        summed = lax.dot_general(
            weights,
            v,
            (((1,), (0,)), ((), ())),
            precision=choices.precision(v.dtype),
            preferred_element_type=jnp.float32,
        )
        return (summed[:, :-1] / _nonzero(summed[:, -1:], b)).astype(q.dtype)

    def head(given: tuple[Array, ...]) -> Array:
        q, k, v, *rest = given
        v = jnp.concatenate([v, jnp.ones((keys, 1), v.dtype)], -1)
        tiles = q.reshape(rows // size, size, width)
        if not rest or rest[0].shape[0] == 1:
            b = rest[0] if rest else None
            done = lax.map(lambda q: tile(q, k, v, b), tiles)
        else:
            biases = rest[0].reshape(rows // size, size, keys)
            done = lax.map(lambda both: tile(both[0], k, v, both[1]), (tiles, biases))
        whole: Array = done.reshape(rows, out)
        return whole

    flat = [x.reshape(batch * heads, *x.shape[2:]) for x in (query, key, value)]
    if bias is not None:
        flat.append(bias)
    result: Array = lax.map(head, tuple(flat)).reshape(batch, heads, rows, out)
    return result


def _scores(query: Array, key: Array, dims: Any, scale: float, choices: JaxOptions) -> Array:
    """Scaled where it costs least, but never in 16 bits: a rounded query moves every score."""
    wide = query.dtype == jnp.float32
    product = lax.dot_general(
        query * scale if wide else query,
        key,
        dims,
        precision=choices.precision(query.dtype),
        preferred_element_type=jnp.float32,
    )
    return product if wide else product * scale


def _finite(maximum: Array, mask: Array | None) -> Array:
    """A row in which everything is masked has no maximum; torch gives zeros for it."""
    return maximum if mask is None else jnp.where(jnp.isfinite(maximum), maximum, 0.0)


def _nonzero(total: Array, mask: Array | None) -> Array:
    return total if mask is None else jnp.where(total == 0, 1.0, total)


def _plain(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    is_causal: bool,
    scale: float,
    choices: JaxOptions,
) -> Array:
    batched = ((0, 1), (0, 1))
    scores = _scores(query, key, (((3,), (3,)), batched), scale, choices)
    if is_causal:
        seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(seen, scores, -jnp.inf)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    weights = jnp.exp(scores - _finite(scores.max(-1, keepdims=True), mask))
    summed = lax.dot_general(
        weights.astype(value.dtype),
        value,
        (((3,), (2,)), batched),
        precision=choices.precision(value.dtype),
        preferred_element_type=jnp.float32,
    )
    return (summed / _nonzero(weights.sum(-1, keepdims=True), mask)).astype(query.dtype)


def _library_takes(
    query: Array, key: Array, value: Array, mask: Array | None, choices: JaxOptions
) -> bool:
    """What cuDNN's kernel accepts; "library" elsewhere means JAX's own function.

    With a mask it is a text encoder's, small in the plain form; cuDNN is particular about masks.
    Of a single row or key it has no kernel, and in the middle of a small UNet there is one.
    """
    if choices.attention == "plain":
        return False
    if choices.attention == "library" and choices.platform != "gpu":
        return True
    narrow = query.dtype in (jnp.float16, jnp.bfloat16)
    width = query.shape[3]
    same = key.shape == value.shape and query.shape[0] == key.shape[0]
    several = query.shape[2] > 1 and key.shape[2] > 1
    fits = narrow and same and several and mask is None
    fits = fits and width % 8 == 0 and width <= choices.widest_head
    return choices.platform == "gpu" and fits


def _library(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    is_causal: bool,
    scale: float,
    choices: JaxOptions,
) -> Array:
    """JAX wants rows before heads."""
    boolean = mask is not None and mask.dtype == jnp.bool_
    narrow = query.dtype in (jnp.float16, jnp.bfloat16)
    cudnn = choices.platform == "gpu" and narrow
    result = jax.nn.dot_product_attention(
        jnp.swapaxes(query, 1, 2),
        jnp.swapaxes(key, 1, 2),
        jnp.swapaxes(value, 1, 2),
        mask=mask if boolean else None,
        bias=None if boolean or mask is None else mask.astype(query.dtype),
        is_causal=is_causal,
        scale=scale,
        implementation="cudnn" if cudnn else "xla",
    )
    return jnp.swapaxes(result, 1, 2)
