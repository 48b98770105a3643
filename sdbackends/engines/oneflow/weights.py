"""One copy of the weights for two processes: torch's parameters stand in memory that both map.

A weight is copied once into a segment that the worker maps too, and the torch parameter is pointed
at it: torch keeps working on it, and an edit in place reaches the worker's next call without a
message. A second program over the same model finds it there. `restore` gives every parameter
memory of its own again, with the strides that it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import ref

import torch

from sdbackends.worker.client import Placed, Worker
from sdbackends.worker.segment import Segment

#: Vector instructions and oneDNN like their operands to begin here.
_ALIGNMENT = 64


@dataclass
class Home:
    """Where one weight stands in shared memory.

    Attributes:
        owner: the torch tensor whose values stand there.
        view: a contiguous CPU tensor over the place.
        strides: those that the owner had before.
        seen: the owner's (data_ptr, _version) when its values were last known to stand there.
    """

    owner: ref[torch.Tensor]
    placed: Placed
    view: torch.Tensor
    strides: tuple[int, ...]
    seen: tuple[int, int]

    def take(self, tensor: torch.Tensor) -> None:
        """Bring the owner's values here if they stand elsewhere."""
        if self._is_home_of(tensor) or self.seen == (tensor.data_ptr(), tensor._version):
            return  # shared, or on another device and unchanged since it was copied
        self.view.copy_(tensor)
        _point(tensor, self.view)
        self.seen = (tensor.data_ptr(), tensor._version)

    def leave(self, own: torch.Tensor | None) -> torch.Tensor | None:
        """Give the owner memory of its own again, or `own`, which a tensor tied to it was given."""
        tensor = self.owner()
        if tensor is None or not self._is_home_of(tensor):
            return own
        if own is None:
            own = torch.empty_strided(self.view.shape, self.strides, dtype=self.view.dtype)
            own.copy_(self.view)
        tensor.data = own
        return own

    def fits(self) -> bool:
        """Whether the owner lives, and has not been given a shape or dtype for which this is none.

        `parameter.data = …` does that: a vocabulary that grew by the words of a textual inversion.
        """
        tensor = self.owner()
        if tensor is None:
            return False
        return tensor.shape == self.view.shape and tensor.dtype == self.view.dtype

    def _is_home_of(self, tensor: torch.Tensor) -> bool:
        here = tensor.data_ptr() == self.view.data_ptr()
        return here and tensor.stride() == self.view.stride()


class WeightStore:
    """The homes of all weights that one engine has moved."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        # By identity: tensors compare element by element.
        self._homes: dict[int, Home] = {}

    def settle(self, tensors: Sequence[torch.Tensor]) -> list[Home]:
        """The home of each tensor, made if it has none; its values stand there."""
        self._sweep()
        known = {id(tensor): self._home(tensor) for tensor in tensors}
        for tensor in tensors:
            home = known[id(tensor)]
            if home is not None:
                home.take(tensor)
        strangers = {id(tensor): tensor for tensor in tensors if known[id(tensor)] is None}
        self._homes.update(self._move_in(list(strangers.values())))
        return [self._homes[id(tensor)] for tensor in tensors]

    def restore(self) -> None:
        """Every parameter has memory of its own again, and the shared memory is given back."""
        given: dict[int, torch.Tensor | None] = {}
        for home in self._homes.values():
            where = home.view.data_ptr()
            given[where] = home.leave(given.get(where))
        segments = {id(home.placed.segment): home.placed.segment for home in self._homes.values()}
        self._homes.clear()
        for segment in segments.values():
            segment.close()

    def _home(self, tensor: torch.Tensor) -> Home | None:
        home = self._homes.get(id(tensor))
        return home if home is not None and home.owner() is tensor else None

    def _move_in(self, tensors: list[torch.Tensor]) -> dict[int, Home]:
        """Homes for tensors that have none, all in one segment."""
        # Tensors over the very same memory (tied by hand) stay so.
        places: dict[tuple[object, ...], int] = {}
        size = 0
        for tensor in tensors:
            if _same_memory(tensor) not in places:
                places[_same_memory(tensor)] = size
                size += -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
        if not tensors:
            return {}
        segment = self._worker.segment(max(size, _ALIGNMENT))
        # All keys before the first move: moving changes where tensors stand.
        offsets = [places[_same_memory(tensor)] for tensor in tensors]
        return {
            id(tensor): _settled(tensor, segment, offset)
            for tensor, offset in zip(tensors, offsets, strict=True)
        }

    def _sweep(self) -> None:
        """Forget the dead and the outgrown, and give back segments in which nobody lives."""
        gone = [key for key, home in self._homes.items() if not home.fits()]
        left = {id(s): s for s in (self._homes.pop(key).placed.segment for key in gone)}
        for home in self._homes.values():
            left.pop(id(home.placed.segment), None)
        for segment in left.values():
            segment.close()


def _settled(tensor: torch.Tensor, segment: Segment, offset: int) -> Home:
    if tensor.numel():
        flat = torch.frombuffer(
            segment.buffer, dtype=tensor.dtype, count=tensor.numel(), offset=offset
        )
    else:
        flat = torch.empty(0, dtype=tensor.dtype)
    view, strides = flat.view(tensor.shape), tensor.stride()
    view.copy_(tensor)
    _point(tensor, view)
    name = str(tensor.dtype).removeprefix("torch.")
    placed = Placed(segment, offset, tuple(tensor.shape), name)
    return Home(ref(tensor), placed, view, strides, (tensor.data_ptr(), tensor._version))


def _point(tensor: torch.Tensor, view: torch.Tensor) -> None:
    """A weight on another device stays there; its home then holds a copy."""
    if tensor.device.type == "cpu":
        tensor.data = view


def _same_memory(tensor: torch.Tensor) -> tuple[object, ...]:
    if not tensor.numel():
        return (id(tensor),)
    where = (tensor.data_ptr(), tensor.device)
    return (*where, tuple(tensor.shape), tensor.stride(), tensor.dtype)
