"""Copies of weights: every edit is noticed, only what was edited is written again."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from sdbackends.engines.weight_copies import WHOLE, Copies, WeightCopy, _samples, memory_of
from sdbackends.errors import RunError
from tests.engines import edits
from tests.engines.calls import rand, ready


class Plain(WeightCopy):
    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor)
        self.buffer = torch.empty_like(self.live)

    def write(self) -> None:
        self.buffer.copy_(self.live)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()


SHAPES = [(3,), (4, 5), (64, 65), (80, 60), (640, 32, 3, 3), (7, 2048), (5000,), (2, 2, 4000)]
DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.complex64]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", [False, True], ids=["plain", "turned"])
def test_every_slice_of_the_first_dimension_is_sampled_twice(shape, turned) -> None:
    numbers = torch.arange(torch.Size(shape).numel(), dtype=torch.int32)
    tensor = numbers.view(shape[::-1]).permute(*reversed(range(len(shape))))
    tensor = tensor if turned else numbers.view(shape)
    samples = _samples(tensor).flatten()
    where = {int(n): i for i, row in enumerate(tensor) for n in row.flatten()}
    hits = torch.bincount(torch.tensor([where[int(n)] for n in samples]), minlength=shape[0])
    if tensor.numel() <= WHOLE:
        assert samples.numel() == tensor.numel()
    else:
        assert hits.min() >= min(2, tensor[0].numel())


def test_samples_stand_at_other_places_of_each_slice() -> None:
    numbers = torch.arange(320 * 2880, dtype=torch.int32).view(320, 320, 3, 3)
    columns = _samples(numbers) % 2880
    assert len(set((columns % 9).tolist())) == 9, "all taps of the kernel"
    assert len(set(columns.tolist())) > 500


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.t(),
        lambda t: t[::2],
        lambda t: t[:, 3:40],
        lambda t: t.view(80, 5, 12).transpose(1, 2),
        lambda t: t.view(8, 10, 60).transpose(0, 1),
        lambda t: t[0, 0],
        lambda t: t[:0],
    ],
    ids=["plain", "turned", "rows", "columns", "inner", "middle", "scalar", "empty"],
)
def test_any_tensor_can_be_watched(dtype, view) -> None:
    tensor = view(rand(80, 60).to(dtype))
    copy = Plain(tensor)
    copies = Copies([copy])
    assert copies.renew() and bits(copy.buffer) == bits(tensor)
    copies.renew()
    assert not copies.renew() and copy.writes == 1
    if tensor.numel():
        tensor.data.copy_(~tensor if dtype == torch.bool else tensor * 3 + 1)
        assert copies.renew() and bits(copy.buffer) == bits(tensor)


@pytest.mark.parametrize("edit", edits.IN_PLACE)
def test_only_what_was_edited_is_written_again(edit) -> None:
    layers = ready(torch.nn.ModuleList([torch.nn.Linear(80, 60), torch.nn.Conv2d(8, 90, 3)]))
    handles = edits.Handles(layers)
    copies = {name: Plain(parameter) for name, parameter in layers.named_parameters()}
    watch = Copies(copies.values())
    watch.renew()
    for name in copies:
        before = {key: copy.writes for key, copy in copies.items()}
        edits.IN_PLACE[edit](handles, name)
        assert watch.renew()
        assert {key for key in copies if copies[key].writes != before[key]} == {name}
        assert bits(copies[name].buffer) == bits(handles[name])


def test_one_element_in_place_is_noticed_in_a_large_weight_too() -> None:
    """torch counts it; through `.data` one element may escape the samples."""
    weight = torch.nn.Parameter(rand(300, 300), requires_grad=False)
    copy = Plain(weight)
    copies = Copies([copy])
    copies.renew()
    for place in ((0, 1), (17, 211), (299, 298)):
        weight[place] += 1
        assert copies.renew() and torch.equal(copy.buffer, weight)


def test_nan_is_no_edit_and_its_coming_is_one() -> None:
    weight = rand(8)
    weight[3] = torch.nan
    copy = Plain(weight)
    copies = Copies([copy])
    copies.renew()
    copies.renew()
    assert not copies.renew()
    weight.data[4] = torch.nan
    assert copies.renew() and copy.buffer[4].isnan()
    weight.data[5] = 0.0
    copies.renew()
    weight.data[5] = -0.0
    assert copies.renew() and str(float(copy.buffer[5])) == "-0.0"


def test_what_one_program_noticed_another_does_not_take_for_unchanged() -> None:
    weight, old = rand(90, 90), rand(90, 90)
    copy = Plain(weight)
    first, second = Copies([copy]), Copies([copy])
    weight.data.copy_(old)
    first.renew(), second.renew()
    weight.data.mul_(2)
    assert first.renew()
    weight.data.copy_(old)
    assert second.renew() and torch.equal(copy.buffer, old)
    assert first.renew(), "what the other wrote is news here"
    assert not first.renew() and not second.renew()


def test_tied_tensors_count_their_versions_separately() -> None:
    one = torch.nn.Parameter(rand(90, 90), requires_grad=False)
    other = torch.nn.Parameter(one.data, requires_grad=False)
    assert memory_of(one) == memory_of(other)
    copy = Plain(one)
    copies = Copies([copy, copy])
    copies.renew()
    other[0, 1] += 1
    copy.add_owner(other)
    assert copies.renew() and torch.equal(copy.buffer, other)
    for tensor in (one, other, one):
        tensor[0, 1] += 1
        assert copies.renew() and torch.equal(copy.buffer, other)
    for tensor in (one, other):
        copy.add_owner(tensor)
    writes = copy.writes
    copies.renew()
    assert copy.writes == writes


def test_inference_tensors_have_no_version() -> None:
    with torch.inference_mode():
        weight = rand(90, 90)
        copy = Plain(weight.clone())
        with torch.inference_mode(False):
            copy = Plain(weight)
        copies = Copies([copy])
        copies.renew()
        weight.mul_(2)
    assert copies.renew() and torch.equal(copy.buffer, weight)
    copies.renew()
    assert not copies.renew()


def test_memory_that_was_taken_away_is_an_error_and_no_crash() -> None:
    weight = rand(90, 90)
    copies = Copies([Plain(weight)])
    copies.renew()
    weight.untyped_storage().resize_(0)
    with pytest.raises(RunError, match="taken away"):
        copies.renew()


def test_parameters_may_die_and_may_be_swapped() -> None:
    weight = torch.nn.Parameter(rand(90, 90), requires_grad=False)
    copies = Copies([Plain(weight)])
    copies.renew()
    torch.utils.swap_tensors(weight, torch.nn.Parameter(rand(90, 90)))
    gone = weakref.ref(weight)
    del weight
    gc.collect()
    assert gone() is None
    copies.renew()
