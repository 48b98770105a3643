"""Copies of weights, and noticing every edit of what they were copied from.

The script's tensors stay the script's: an engine never points `parameter.data` elsewhere. One that
needs a weight in another layout, in aligned memory or in another process keeps a `WeightCopy` of
it, and a program asks its `Copies` to `renew` before it answers. An edit shows in the version that
torch counts. An edit through `.data` or a NumPy view counts none, so samples of the memory are
compared too: tensors of up to 4096 elements whole, of a larger one at least two elements in each
slice of its first dimension. No engine's runtime is imported here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from sdbackends.errors import RunError
from sdbackends.utils import fork_safety

#: Tensors of at most so many elements are compared whole.
WHOLE = 4096
#: At least so many elements of a larger one are.
SAMPLES = 1024
#: So many tensors over one memory are asked for their version; the rest is left to the samples.
_OWNERS = 8
#: Compared as bits: NaN is equal to itself, and 0.0 is not -0.0.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

#: Copies serve the programs of all threads: whoever looks one up or changes it holds this.
one_at_a_time = fork_safety.reentrant_lock()

Memory = tuple[int, torch.Size, tuple[int, ...], torch.dtype, torch.device]


def memory_of(tensor: torch.Tensor) -> Memory:
    """Where a tensor stands, and how. Equal for tied tensors, and for other views of the same."""
    return (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)


def version_of(tensor: torch.Tensor) -> int:
    """How often it was written in place; inference tensors do not count."""
    return -1 if tensor.is_inference() else tensor._version


class WeightCopy(ABC):
    """A copy of one weight. A subclass allocates it; the first `Copies.renew` fills it.

    It holds the weight's storage (so no other tensor can come to stand at its address), but not the
    parameter, and no weak reference to it: `torch.utils.swap_tensors` refuses what has one. Let it
    not outlive the programs of the model that it was made for.

    Attributes:
        live: an alias of the weight: same storage, same strides.
        writes: how often the copy was written.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self.memory = memory_of(tensor)
        self.live = tensor.detach()
        self.writes = 0
        self._owners: dict[int, tuple[torch.Tensor, int | None]] = {}
        self._samples = _samples(self.live)
        self._pointer = self._samples.data_ptr()
        self._seen: torch.Tensor | None = None
        self.add_owner(tensor)

    @abstractmethod
    def write(self) -> None:
        """Bring the values of `live` into the copy."""

    def add_owner(self, tensor: torch.Tensor) -> None:
        """Look at this tensor's version too: tied tensors count theirs separately."""
        with one_at_a_time:
            before = self._owners.pop(id(tensor), None)
            # An alias counts with its tensor. None: it may have written here before we looked.
            same = before is not None and version_of(before[0]) == version_of(tensor)
            self._owners[id(tensor)] = (tensor.detach(), before[1] if before and same else None)
            while len(self._owners) > _OWNERS:
                del self._owners[next(iter(self._owners))]

    def _versions_moved(self) -> bool:
        return any(version_of(alias) != version for alias, version in self._owners.values())

    def _storage_moved(self) -> bool:
        """`untyped_storage().resize_` does that under every view."""
        return self._samples.data_ptr() != self._pointer

    def _renew(self) -> None:
        # Looked at before it is copied: what is written meanwhile is found at the next look.
        owners: dict[int, tuple[torch.Tensor, int | None]] = {
            key: (alias, version_of(alias)) for key, (alias, _) in self._owners.items()
        }
        seen = _flat(self._samples).clone()
        self.write()
        self._owners, self._seen = owners, seen
        self.writes += 1


class CompiledInWeight(WeightCopy):
    """A weight that stands in the program itself; an edit of it is noticed, and not written."""

    def write(self) -> None: ...


class Copies:
    """The copies that one program reads, looked at together."""

    def __init__(self, copies: Iterable[WeightCopy]) -> None:
        self._copies = tuple({id(copy): copy for copy in copies}.values())
        self._writes: list[int] = []
        self._groups: list[_Group] = []

    def renew(self) -> bool:
        """Write every copy anew whose weight was edited since it was written.

        Returns:
            Whether a copy was written since the last look, here or by another program.

        Raises:
            RunError: the memory of a weight was taken away.
        """
        if not self._copies:
            return False
        with one_at_a_time:
            return self._renewed()

    def _renewed(self) -> bool:
        if any(copy._storage_moved() for copy in self._copies):
            raise RunError(
                "the memory of a weight was taken away or resized in place",
                why="something else keeps this model's weights elsewhere between its calls",
                fix="the model runs on eager torch instead",
            )
        # First of all: another program may have written some of them.
        news = self._regroup()
        edited = {id(copy) for copy in self._copies if copy._versions_moved() or not copy.writes}
        edited.update(id(copy) for group in self._groups for copy in group.edited())
        for copy in self._copies:
            if id(copy) in edited:
                copy._renew()
        return (bool(edited) and self._regroup()) or news

    def _regroup(self) -> bool:
        """Take the samples of all copies as they were when these were written; False: as before."""
        writes = [copy.writes for copy in self._copies]
        if writes == self._writes:
            return False
        self._groups = _groups([copy for copy in self._copies if copy.writes])
        self._writes = writes
        return True


class _Group:
    """Copies whose samples fit into one tensor, and what the samples were."""

    def __init__(self, copies: Sequence[WeightCopy]) -> None:
        self._copies = copies
        self._samples = [copy._samples for copy in copies]
        self._odd = any(samples.dim() != 1 for samples in self._samples)
        self._seen = torch.cat([copy._seen for copy in copies if copy._seen is not None])

    def edited(self) -> list[WeightCopy]:
        now = self._now()
        if _equal(now, self._seen):
            return []
        sizes = [samples.numel() for samples in self._samples]
        pairs = zip(
            self._copies, torch.split(now, sizes), torch.split(self._seen, sizes), strict=True
        )
        return [copy for copy, one, other in pairs if not _equal(one, other)]

    def _now(self) -> torch.Tensor:
        if self._odd:
            return torch.cat([_flat(samples) for samples in self._samples])
        return torch.cat(self._samples)


def _groups(copies: Sequence[WeightCopy]) -> list[_Group]:
    """By size of an element and by device; contiguous samples apart, they are joined faster."""
    groups: dict[object, list[WeightCopy]] = {}
    for copy in copies:
        samples = copy._samples
        if samples.numel():
            key = (samples.dtype, samples.device, samples.is_contiguous())
            groups.setdefault(key, []).append(copy)
    return [_Group(group) for group in groups.values()]


def _samples(tensor: torch.Tensor) -> torch.Tensor:
    """A view of some of a tensor's elements as integers: of one dimension where they are chosen."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    bits = _BITS[tensor.element_size()]
    if not _orderly(tensor):
        return tensor.view(bits)  # all of them; such weights are rare
    step = _step(tensor)
    size, start = -(-tensor.numel() // step), tensor.storage_offset()
    return tensor.as_strided((size,), (step,), start).view(bits)


def _step(tensor: torch.Tensor) -> int:
    """From one sample to the next, in memory.

    At most half a slice of the first dimension, and without a common factor with any dimension:
    where the slices lie one after the other each is met twice, and at other places than the one
    before; where they are interleaved the samples go through all of them in turn.
    """
    total = tensor.numel()
    if total <= WHOLE:
        return 1
    step = max(1, min(total // (2 * tensor.shape[0]), total // SAMPLES))
    while math.gcd(step, total) != 1:
        step -= 1
    return step


def _orderly(tensor: torch.Tensor) -> bool:
    """Whether it fills a piece of memory, and its first dimension is the outermost or innermost."""
    expected = 1
    axes = [(s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1]
    for stride, size in sorted(axes):
        if stride != expected:
            return False
        expected *= size
    if not axes or tensor.shape[0] == 1:
        return True
    return tensor.stride(0) in (1, max(axes)[0])


def _flat(samples: torch.Tensor) -> torch.Tensor:
    return samples.reshape(-1)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """On a CPU NumPy compares integers five times as fast as torch."""
    if one.device.type == "cpu":
        return np.array_equal(one.numpy(), other.numpy())
    return torch.equal(one, other)
