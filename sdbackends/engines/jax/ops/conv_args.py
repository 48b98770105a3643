"""The numbers of a convolution: torch's many ways to give them in, one plain form out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """The numbers of one 2-D convolution: kernel, stride, padding per side, dilation, groups."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    def out(self, height: int, width: int) -> tuple[int, int]:
        sizes = [
            (size + sum(pad) - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                (height, width), self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        ]
        return sizes[0], sizes[1]

    @property
    def pointwise(self) -> bool:
        return self.kernel == (1, 1) and self.groups == 1 and not any(map(any, self.padding))

    @property
    def dense(self) -> bool:
        return self.groups == 1 and self.dilation == (1, 1)


def sides(padding: int | Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding before and after, along the height and the width."""
    down, right = pair(padding)
    return (down, down), (right, right)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    first, second = each(value, 2)
    return first, second


def each(value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """Torch lets one number stand for all dimensions."""
    if isinstance(value, int):
        return (value,) * n
    return tuple(value) if len(value) == n else tuple(value) * n
