"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

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
    return _sum(x, flow.matmul(mat1, mat2), beta, alpha)


def _sum(x: Tensor, product: Tensor, beta: Number, alpha: Number) -> Tensor:
    """With beta 0 torch does not read `x` at all, which may hold NaN from `empty`."""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


@lowers("aten.mm.default", "aten.bmm.default", "aten.matmul.default")
def matmul(x: Tensor, other: Tensor) -> Tensor:
    """OneFlow multiplies matrices: a vector is one row on the left, one column on the right."""
    if x.ndim == 1:
        return matmul(x.unsqueeze(0), other).squeeze(0 if other.ndim == 1 else -2)
    if other.ndim == 1:
        return flow.matmul(x, other.unsqueeze(1)).squeeze(-1)
    return flow.matmul(x, other)


@lowers("aten.mv.default", "aten.dot.default")
def mv(x: Tensor, vec: Tensor) -> Tensor:
    """OneFlow multiplies matrices; a vector is one column."""
    rows = x if x.ndim == 2 else x.unsqueeze(0)
    return flow.matmul(rows, vec.unsqueeze(1)).reshape(*x.shape[:-1])


@lowers("aten.baddbmm.default")
def baddbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    return _sum(x, flow.matmul(batch1, batch2), beta, alpha)


@lowers("aten.einsum.default")
def einsum(equation: str, tensors: Sequence[Tensor]) -> Tensor:
    return flow.einsum(equation, *tensors)


@lowers("aten.outer.default")
def outer(x: Tensor, vec2: Tensor) -> Tensor:
    return x.unsqueeze(1) * vec2.unsqueeze(0)
