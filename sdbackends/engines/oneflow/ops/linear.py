"""Matrix products."""

from __future__ import annotations

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Number, Tensor


@lowers("aten.linear.default")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A vector goes as one row."""
    if x.ndim == 1:
        return linear(x.unsqueeze(0), weight, bias).squeeze(0)
    return F.linear(x, weight, bias)


@lowers("aten.addmm.default")
def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:
    """With beta 0 torch does not read `x` at all, which may hold NaN from `empty`."""
    product = flow.matmul(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


@lowers("aten.mm.default", "aten.bmm.default")
def matmul(x: Tensor, other: Tensor) -> Tensor:
    return flow.matmul(x, other)
