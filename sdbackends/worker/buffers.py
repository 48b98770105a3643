"""Where arrays lie in shared memory, and the numpy views of them.

A `Slot` is a place in a segment with a shape and a dtype; it travels in messages as a list.
`allocate` makes a segment for some arrays. Both sides use it; it needs numpy and the graph only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdbackends.capture.graph import TensorSpec
from sdbackends.worker.shared_memory import Segment

Array = NDArray[Any]

#: The kernels of every engine like this alignment, and some ask for it.
ALIGNMENT = 64


@dataclass(frozen=True)
class Slot:
    """A place for one array: in which segment (by number), from which byte on."""

    segment: int
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def to_json(self) -> list[Any]:
        return [self.segment, self.offset, list(self.shape), self.dtype]

    @classmethod
    def from_json(cls, item: Sequence[Any]) -> Slot:
        segment, offset, shape, dtype = item
        return cls(segment, offset, tuple(shape), dtype)


def allocate(
    specs: Iterable[TensorSpec], create: Callable[[int], Segment]
) -> tuple[Segment, list[Slot]]:
    """One new segment that holds an array for each spec, and where they are.

    Raises:
        ValueError: numpy lacks a dtype.
    """
    slots, end = [], 0
    for spec in specs:
        slot = Slot(0, end, spec.shape, numpy_name(spec.dtype))
        slots.append(slot)
        end += -(-slot.size // ALIGNMENT) * ALIGNMENT
    segment = create(end)
    return segment, [replace(slot, segment=segment.number) for slot in slots]


def view(segment: Segment, slot: Slot) -> Array:
    """The array in that place: writable, its memory is the segment's.

    Raises:
        ValueError: the place is not inside the segment.
    """
    dtype = np.dtype(slot.dtype)
    count = prod(slot.shape)
    if count == 0:
        return np.empty(slot.shape, dtype)
    if slot.offset < 0 or slot.offset + slot.size > segment.size:
        raise ValueError(f"{slot} is not inside its segment of {segment.size} bytes")
    return np.frombuffer(segment.buffer, dtype, count, slot.offset).reshape(slot.shape)


def views(segments: Mapping[int, Segment], slots: Iterable[Slot]) -> list[Array]:
    return [view(segments[slot.segment], slot) for slot in slots]


def numpy_name(dtype: str) -> str:
    """numpy's name of a torch dtype, which must exist in numpy itself.

    Raises:
        ValueError: it does not (bfloat16, float8).
    """
    with suppress(TypeError):
        # Others (ml_dtypes) may have taught numpy more in one of the two processes.
        if np.dtype(dtype).isbuiltin == 1:
            return np.dtype(dtype).name
    raise ValueError(f"numpy has no {dtype}, so no memory can be shared in it")
