"""Memory that two processes share, without a name.

The owner makes it (`Segment.create`), the kernel passes its descriptor to the other side, and that
one borrows it (`Segment.borrow`). Both map the same pages: what one writes, the other reads, with
no message. Having no name, it cannot be left behind in /dev/shm, whatever dies; it is gone with
the last process that maps it. A view (numpy, torch) keeps its mapping alive also after `close`.
A process forked from the owner shares the pages too: there is no copy on write.
Standard library only: the worker runs it too.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from itertools import count

_numbers = count(1)


class Segment:
    """One piece of shared memory; `number` names it between the two sides."""

    def __init__(
        self,
        number: int,
        size: int,
        memory: mmap.mmap,
        descriptor: int | None = None,
        closed: Callable[[int], None] | None = None,
    ) -> None:
        self.number = number
        self.size = size
        self._memory: mmap.mmap | None = memory
        self._descriptor = descriptor
        self._closed = closed

    @classmethod
    def create(cls, size: int, closed: Callable[[int], None] | None = None) -> Segment:
        """New memory, all zeros. `closed` is called with its number when it is closed.

        Raises:
            OSError: there is no memory of that size, or the system is not Linux.
        """
        if sys.platform != "linux":
            raise OSError("memory without a name needs Linux (memfd_create)")
        descriptor = os.memfd_create("sdbackends", os.MFD_CLOEXEC)
        try:
            # The kernel knows whole pages only, and none of no bytes.
            os.ftruncate(descriptor, max(size, 1))
            memory = mmap.mmap(descriptor, max(size, 1))
        except BaseException:
            os.close(descriptor)
            raise
        return cls(next(_numbers), size, memory, descriptor, closed)

    @classmethod
    def borrow(cls, number: int, size: int, descriptor: int) -> Segment:
        """The memory behind a descriptor that the owner sent; closes the descriptor."""
        try:
            return cls(number, size, mmap.mmap(descriptor, max(size, 1)))
        finally:
            os.close(descriptor)

    @property
    def buffer(self) -> mmap.mmap:
        """The memory, writable, for `numpy.frombuffer` and `torch.frombuffer`."""
        if self._memory is None:
            raise ValueError("this shared memory was closed")
        return self._memory

    @property
    def descriptor(self) -> int:
        """For the other side; only the owner has it."""
        if self._descriptor is None:
            raise ValueError("this shared memory was closed, or is borrowed")
        return self._descriptor

    def close(self) -> None:
        """Give it up on this side. Views that still exist keep their pages."""
        descriptor, self._descriptor, self._memory = self._descriptor, None, None
        if descriptor is None:
            return
        os.close(descriptor)
        if self._closed is not None:
            self._closed(self.number)

    def __del__(self) -> None:
        self.close()
