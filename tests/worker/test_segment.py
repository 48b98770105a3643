"""Memory that two mappings share: seen by both, nameless, alive as long as somebody looks."""

from __future__ import annotations

import os

import numpy as np
import pytest

from sdbackends.worker.shared_memory import Segment


def borrowed(segment: Segment) -> Segment:
    return Segment.borrow(segment.number, segment.size, os.dup(segment.descriptor))


def test_both_sides_see_what_the_other_writes() -> None:
    owner = Segment.create(100)
    other = borrowed(owner)
    assert bytes(other.buffer[:100]) == bytes(100)
    owner.buffer[5] = 7
    assert other.buffer[5] == 7
    other.buffer[99] = 8
    assert owner.buffer[99] == 8


def test_it_has_no_name() -> None:
    before = os.listdir("/dev/shm")
    segment = Segment.create(1 << 20)
    assert os.listdir("/dev/shm") == before
    segment.close()


def test_a_view_outlives_both() -> None:
    owner = Segment.create(16)
    other = borrowed(owner)
    view = np.frombuffer(other.buffer, "int32")
    owner.buffer[0] = 3
    owner.close()
    other.close()
    del owner, other
    assert view[0] == 3
    view[1] = 4
    assert view.tolist() == [3, 4, 0, 0]


def test_closing_gives_the_descriptor_back_and_tells_once() -> None:
    told: list[int] = []
    before = len(os.listdir("/proc/self/fd"))
    segment = Segment.create(10, closed=told.append)
    number = segment.number
    segment.close()
    segment.close()
    del segment
    assert told == [number]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_forgotten_one_is_closed() -> None:
    told: list[int] = []
    before = len(os.listdir("/proc/self/fd"))
    Segment.create(10, closed=told.append)
    assert len(told) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_one_says_so() -> None:
    segment = Segment.create(10)
    segment.close()
    with pytest.raises(ValueError, match="closed"):
        _ = segment.buffer
    with pytest.raises(ValueError, match="closed"):
        _ = segment.descriptor


def test_no_bytes_are_memory_too() -> None:
    segment = Segment.create(0)
    assert borrowed(segment).size == 0


def test_too_much_is_an_error() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"memory|large"):
        Segment.create(1 << 62)
    assert len(os.listdir("/proc/self/fd")) == before
