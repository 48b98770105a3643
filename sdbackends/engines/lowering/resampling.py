"""Where the rows of a resized image come from, in the arithmetic of torch's kernels.

Torch computes positions in float32 (ATen/native/UpSample.h); with other arithmetic a row of a large
image comes from its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scales = Sequence[float | None] | None
Matrix = NDArray[np.float32]


def given_scales(output_size: Sequence[int] | None, scales: Scales) -> Sequence[float | None]:
    """Return the factors that positions are computed with: an output size overrides them."""
    return (None, None) if output_size is not None or not scales else scales


def nearest(size: int, target: int, scale: float | None) -> NDArray[np.int64]:
    """Return which of `size` rows each of `target` rows is."""
    step = np.float32(1 / scale if scale else size / target)
    places = np.arange(target, dtype=np.float32) * step
    picked: NDArray[np.int64] = np.minimum(np.floor(places).astype(np.int64), size - 1)
    return picked


def bilinear(size: int, target: int, align_corners: bool, scale: float | None) -> Matrix:
    """Return the matrix, target by size, that blends rows: two weights in each of its rows."""
    index = np.arange(target, dtype=np.float32)
    if align_corners:
        places = index * np.float32((size - 1) / (target - 1) if target > 1 else 0)
    else:
        step = np.float32(1 / scale if scale else size / target)
        places = np.maximum((index + np.float32(0.5)) * step - np.float32(0.5), 0)
    low = np.minimum(places.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    share = places - low
    matrix = np.zeros((target, size), np.float32)
    np.add.at(matrix, (np.arange(target), low), 1 - share)
    np.add.at(matrix, (np.arange(target), high), share)
    return matrix


def adaptive_means(size: int, target: int) -> Matrix:
    """Return the matrix, target by size, of adaptive average pooling."""
    matrix = np.zeros((target, size), np.float32)
    for i in range(target):
        start, end = i * size // target, -(-(i + 1) * size // target)
        matrix[i, start:end] = 1 / (end - start)
    return matrix
