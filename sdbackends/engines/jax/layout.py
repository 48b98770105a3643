"""The layout tag: an array that stands in memory in another axis order than the graph says.

A torch graph is written in NCHW; XLA on a CPU is three times slower there than in NHWC. So a value
may be a `TaggedArray`: logical axis `i` stands at place `order[i]` of the array. Permutations then
cost nothing, convolutions stay channels-last from one end of the model to the other, and an op that
knows nothing of layouts asks for `logical(value)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

Array: TypeAlias = jax.Array
Number: TypeAlias = bool | int | float
#: A side of an operation.
Operand: TypeAlias = Array | Number
#: Order of an image or feature map: logically NCHW, physically NHWC.
CHANNELS_LAST = (0, 3, 1, 2)


@dataclass(frozen=True)
class TaggedArray:
    """An array with the tag; looks like the logical one from outside."""

    array: Array
    order: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape[place] for place in self.order)

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype


Value: TypeAlias = Array | TaggedArray


def with_order(array: Array, order: Sequence[int]) -> Value:
    """Tag `array`, unless the order is the plain one."""
    order = tuple(order)
    return array if order == tuple(range(len(order))) else TaggedArray(array, order)


def order_of(value: Value) -> tuple[int, ...]:
    return value.order if isinstance(value, TaggedArray) else tuple(range(value.ndim))


def stored(value: Value) -> Array:
    """The array as it stands, whatever its order."""
    return value.array if isinstance(value, TaggedArray) else value


def logical(value: Value) -> Array:
    """The array in the graph's own axis order."""
    return jnp.transpose(value.array, value.order) if isinstance(value, TaggedArray) else value


def in_order(value: Value, order: Sequence[int]) -> Array:
    """The array in the given order; no work if it already stands so."""
    if order_of(value) == tuple(order):
        return stored(value)
    return jnp.transpose(logical(value), inverse(order))


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The axes that `transpose` needs to bring a logical array into `order`."""
    return tuple(sorted(range(len(order)), key=lambda axis: order[axis]))


def cast(value: Value, dtype: np.dtype) -> Value:
    if value.dtype == dtype:
        return value
    return with_order(stored(value).astype(dtype), order_of(value))


def permuted(value: Value, dims: Sequence[int]) -> Value:
    """`permute` without moving anything."""
    order = order_of(value)
    return with_order(stored(value), [order[dim % value.ndim] for dim in dims])


def reshaped(value: Value, shape: Sequence[int]) -> Value:
    """`view`: in place where the axes that are split or joined stand side by side."""
    if -1 in shape:
        known = math.prod(size for size in shape if size != -1)
        shape = [math.prod(value.shape) // known if size == -1 else size for size in shape]
    if not isinstance(value, TaggedArray):
        return value.reshape(tuple(shape))
    groups = _groups(value.shape, shape)
    if groups is None or not all(_side_by_side(value.order, old) for old, _ in groups):
        return logical(value).reshape(tuple(shape))
    by_place = sorted(groups, key=lambda group: value.order[group[0][0]])
    order = [0] * len(shape)
    for place, axis in enumerate(axis for _, new in by_place for axis in new):
        order[axis] = place
    array = value.array.reshape(tuple(shape[axis] for _, new in by_place for axis in new))
    return with_order(array, order)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]] | None:
    """Runs of old axes and the runs of new axes that hold the same elements; None if unclear."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        olds, news, a, b = [i], [j], old[i], new[j]
        while a != b:
            if a < b and i + 1 < len(old):
                i += 1
                olds.append(i)
                a *= old[i]
            elif b < a and j + 1 < len(new):
                j += 1
                news.append(j)
                b *= new[j]
            else:
                return None
        groups.append((olds, news))
        i, j = i + 1, j + 1
    if i < len(old) or any(size != 1 for size in new[j:]) or not groups:
        return None
    groups[-1][1].extend(range(j, len(new)))
    return groups


def _side_by_side(order: Sequence[int], axes: Sequence[int]) -> bool:
    return all(order[b] == order[a] + 1 for a, b in pairwise(axes))
