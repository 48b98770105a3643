"""Positions that come out of tensors, held against the size of what they point into.

OneFlow answers a position out of range with silent zeros (embedding) or by aborting the process
(gather), torch with an IndexError; so does this. Inside an `nn.Graph` that is being built there is
nothing to look at yet: `index_bounds.py` looks before each call of such a graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import oneflow as flow

from sdbackends.engines.oneflow.ops.tensors import Tensor, building


def in_range(index: Tensor, low: int, high: int) -> Tensor:
    """The index as it is.

    Raises:
        IndexError: a value is below `low`, or not below `high`.
    """
    if not building() and math.prod(index.shape):
        values = index.numpy()
        check(int(values.min()), int(values.max()), low, high)
    return index


def check(smallest: int, largest: int, low: int, high: int) -> None:
    if smallest < low or largest >= high:
        off = smallest if smallest < low else largest
        raise IndexError(f"index {off} is out of range for a dimension of size {high}")


def from_start(index: Tensor, size: int) -> Tensor:
    """Negative positions count from the end, where torch allows them."""
    index = in_range(index, -size, size)
    return flow.where(index < 0, index + size, index)


def flat(indices: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Positions along several axes as one position along all of them, broadcast and in int64."""
    total = None
    for index, size in zip(indices, sizes, strict=True):
        place = from_start(index.to(flow.int64), size)
        total = place if total is None else total * size + place
    assert total is not None
    return total
