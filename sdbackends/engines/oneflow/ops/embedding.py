"""Table look-ups."""

from __future__ import annotations

import oneflow.nn.functional as F

from sdbackends.engines.oneflow.ops.indices import in_range
from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor


@lowers("aten.embedding.default")
def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    return F.embedding(in_range(indices, 0, weight.shape[0]), weight)
