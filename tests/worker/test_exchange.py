"""Arrays in shared memory: aligned, apart, and inside their segment."""

from __future__ import annotations

import numpy as np
import pytest

from sdbackends.capture.graph import TensorSpec
from sdbackends.worker.buffers import (
    ALIGNMENT,
    Slot,
    allocate,
    numpy_name,
    view,
    views,
)
from sdbackends.worker.shared_memory import Segment
from tests.worker.helpers import graph

SPECS = [
    TensorSpec((3, 5), "float32"),
    TensorSpec((), "int64"),
    TensorSpec((7,), "bool"),
    TensorSpec((0, 4), "float16"),
    TensorSpec((65,), "uint8"),
    TensorSpec((2,), "complex64"),
]


def test_arrays_are_aligned_and_do_not_touch_each_other() -> None:
    segment, slots = allocate(SPECS, Segment.create)
    assert all(slot.offset % ALIGNMENT == 0 for slot in slots)
    arrays = views({segment.number: segment}, slots)
    for number, array in enumerate(arrays):
        array[...] = number % 2
    for number, (array, spec) in enumerate(zip(arrays, SPECS, strict=True)):
        assert array.shape == spec.shape and array.dtype == spec.dtype
        assert array.flags.writeable and array.flags.c_contiguous
        assert (array == number % 2).all()


def test_a_slot_survives_its_journey() -> None:
    import json

    slot = Slot(3, 64, (2, 4), "float16")
    assert Slot.from_json(json.loads(json.dumps(slot.to_json()))) == slot


@pytest.mark.parametrize("slot", [Slot(1, 64, (3,), "float32"), Slot(1, -4, (1,), "float32")])
def test_a_place_outside_is_refused(slot: Slot) -> None:
    with pytest.raises(ValueError, match="not inside"):
        view(Segment.create(72), slot)


def test_what_a_graph_takes_and_gives() -> None:
    made = graph((4,), "float64", weights=1)
    assert [value.spec for value in made.inputs] == [TensorSpec((4,), "float64")]
    assert made.output_specs() == [TensorSpec((4,), "float64")]


def test_outputs_that_are_no_tensors_have_no_place() -> None:
    from dataclasses import replace

    from sdbackends.capture.graph import Ref

    made = replace(graph((4,)), outputs=(None, Ref("x"), 3, Ref("y")))
    assert made.output_specs() == [TensorSpec((4,), "float32")] * 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "nonsense"])
def test_a_dtype_that_numpy_lacks(dtype: str) -> None:
    with pytest.raises(ValueError, match=dtype):
        numpy_name(dtype)


def test_a_dtype_that_somebody_taught_numpy() -> None:
    pytest.importorskip("ml_dtypes")
    assert np.dtype("bfloat16").itemsize == 2
    with pytest.raises(ValueError, match="bfloat16"):
        numpy_name("bfloat16")
