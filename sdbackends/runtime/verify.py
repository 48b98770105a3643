"""The same call on eager torch, compared.

Two uses: `SD_VERIFY=1` prints the figures of each model's first call, and a program that returns
NaN or Inf is judged by whether eager does so too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class OutputDifference:
    """How far a result is from the reference.

    Attributes:
        max_abs: largest absolute difference.
        max_rel: `max_abs` over the largest absolute value of the reference.
        l2_rel: norm of the difference over the norm of the reference.
    """

    max_abs: float
    max_rel: float
    l2_rel: float

    def __str__(self) -> str:
        return f"max {self.max_abs:.2e}, {self.max_rel:.2e} of max, relative L2 {self.l2_rel:.2e}"


def tensors_of(result: Any) -> list[torch.Tensor]:
    """The floating tensors of a call's result, flattened."""
    leaves = pytree.tree_leaves(result)
    return [x for x in leaves if isinstance(x, torch.Tensor) and x.is_floating_point()]


def compare(reference: Sequence[torch.Tensor], result: Sequence[torch.Tensor]) -> OutputDifference:
    """The largest difference over all pairs, in float64.

    Raises:
        ValueError: the lists or a pair of shapes differ, so that nothing can be compared.
    """
    worst = OutputDifference(0.0, 0.0, 0.0)
    for ref, got in zip(reference, result, strict=True):
        if ref.shape != got.shape:
            raise ValueError(f"shapes differ: {tuple(ref.shape)} and {tuple(got.shape)}")
        if ref.numel() == 0:
            continue
        a, b = ref.detach().cpu().double(), got.detach().cpu().double()
        gap, scale, norm = (a - b).abs().max(), a.abs().max(), a.norm()
        here = OutputDifference(
            gap.item(),
            (gap / scale).item() if scale > 0 else gap.item(),
            ((a - b).norm() / norm).item() if norm > 0 else (a - b).norm().item(),
        )
        worst = max(worst, here, key=lambda d: (d.max_abs != d.max_abs, d.max_rel))
    return worst


def finite(result: Any) -> bool:
    """Whether no floating tensor of a result holds NaN or Inf."""
    return all(map(_is_finite, tensors_of(result)))


def _is_finite(tensor: torch.Tensor) -> bool:
    # A NaN or Inf stays one in the sum, which takes a third of the time; one can come about there.
    return math.isfinite(tensor.sum().item()) or bool(torch.isfinite(tensor).all())
