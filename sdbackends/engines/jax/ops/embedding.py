"""Table look-ups."""

from __future__ import annotations

import jax.numpy as jnp

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers


@lowers("aten.embedding.default")
def embedding(
    weight: Array,
    indices: Array,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Array:
    """An index out of range is torch's error, raised before; here it only must not crash."""
    return jnp.take(weight, indices, axis=0, mode="clip")
