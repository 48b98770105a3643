"""The worker's copies of weights, in memory that both processes map.

OneFlow has weights in another process. Each is copied once into a segment that the worker maps too,
for all programs over the same model; the parameters stay as they are. An edit that was noticed
(`engines/weight_copies.py`) is written there before the next call, with no message to the worker.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from weakref import WeakValueDictionary

import torch

from sdbackends.engines.weight_copies import Memory, WeightCopy, memory_of, one_at_a_time
from sdbackends.worker.client import Placed, Worker
from sdbackends.worker.shared_memory import Segment

#: Vector instructions and oneDNN like their operands to begin here.
_ALIGNMENT = 64
_Key = tuple[int, Memory]


class SharedWeight(WeightCopy):
    """Where one weight stands in shared memory.

    Attributes:
        view: a contiguous CPU tensor over the place.
    """

    def __init__(self, tensor: torch.Tensor, segment: Segment, offset: int) -> None:
        super().__init__(tensor)
        name = str(tensor.dtype).removeprefix("torch.")
        self.placed = Placed(segment, offset, tuple(tensor.shape), name)
        self.view = _view(tensor, segment, offset)

    def write(self) -> None:
        self.view.copy_(self.live)


class SharedWeightStore:
    """The homes of one engine's weights; keeps none that no program reads.

    A segment is given back with the last home in it.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._homes: WeakValueDictionary[_Key, SharedWeight] = WeakValueDictionary()

    def settle(self, tensors: Sequence[torch.Tensor]) -> list[SharedWeight]:
        """The home of each tensor, made if it has none; `Copies.renew` brings the values there."""
        with one_at_a_time:
            return self._settled(tensors)

    def _settled(self, tensors: Sequence[torch.Tensor]) -> list[SharedWeight]:
        # A forked process has weights of its own, and must not write into its parent's copies.
        keys = [(os.getpid(), memory_of(tensor)) for tensor in tensors]
        homes = {key: home for key in keys if (home := self._homes.get(key)) is not None}
        made = self._move_in(
            {key: t for key, t in zip(keys, tensors, strict=True) if key not in homes}
        )
        self._homes.update(made)
        homes.update(made)
        for key, tensor in zip(keys, tensors, strict=True):
            homes[key].add_owner(tensor)
        return [homes[key] for key in keys]

    def _move_in(self, tensors: dict[_Key, torch.Tensor]) -> dict[_Key, SharedWeight]:
        """Homes for tensors that have none, all in one segment; tied ones came as one."""
        if not tensors:
            return {}
        offsets: list[int] = []
        size = 0
        for tensor in tensors.values():
            offsets.append(size)
            size += -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
        segment = self._worker.segment(max(size, _ALIGNMENT))
        return {
            key: SharedWeight(tensor, segment, offset)
            for (key, tensor), offset in zip(tensors.items(), offsets, strict=True)
        }


def _view(tensor: torch.Tensor, segment: Segment, offset: int) -> torch.Tensor:
    with torch.inference_mode(False):  # a tensor made in it could not be written outside
        if not tensor.numel():
            return torch.empty(tensor.shape, dtype=tensor.dtype)
        flat = torch.frombuffer(
            segment.buffer, dtype=tensor.dtype, count=tensor.numel(), offset=offset
        )
        return flat.view(tensor.shape)
