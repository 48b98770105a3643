"""The worker's copies of weights: the script's tensors stay as they are, no edit is missed."""

from __future__ import annotations

import gc
import os

import pytest
import torch

from sdbackends.capture.direct import weights_of
from sdbackends.engines.oneflow.weights import SharedWeight
from sdbackends.errors import RunError
from tests.engines import edits
from tests.engines.calls import Call
from tests.engines.oneflow.helpers import Built, build, worst


class Small(torch.nn.Module):
    """A convolution and one tied to it by hand, a linear layer, a buffer of integers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied.weight = torch.nn.Parameter(self.conv.weight.data)
        self.linear = torch.nn.Linear(8, 4)
        self.register_buffer("scale", torch.arange(1.0, 5.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) + self.tied(x)
        return self.linear(y.permute(0, 2, 3, 1)) * self.scale


@pytest.fixture
def call() -> Call:
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    return Call(Small().eval().requires_grad_(False), (x,))


def rebind(built: Built, call: Call) -> None:
    built.program.rebind(weights_of(call.module, built.capture.graph))


def homes_of(built: Built) -> dict[str, SharedWeight]:
    pairs = zip(built.capture.graph.weights, built.program._homes, strict=True)
    return {value.key: home for value, home in pairs}


def test_the_scripts_tensors_are_left_alone(engine, call) -> None:
    call.module.conv.to(memory_format=torch.channels_last)
    before, expected = edits.picture_of(call.module), call.eager()
    built = build(engine, call)
    assert worst(built.run(call), expected) < 1e-6
    assert edits.picture_of(call.module) == before
    engine.close()
    assert edits.picture_of(call.module) == before
    with pytest.raises(RunError, match="closed"):
        built.program(call.tensors())


def test_an_edit_in_place_is_seen_by_the_next_call(engine, call) -> None:
    """One build for all of them: each is another worker's start."""
    handles = edits.Handles(call.module)
    built = build(engine, call)
    for name, edit in edits.IN_PLACE.items():
        before = built.run(call)
        for weight in ("conv.weight", "linear.weight", "linear.bias"):
            edit(handles, weight)
        call.module.scale.data.add_(1)
        expected = call.eager()
        assert worst(built.run(call), expected) < 1e-5, name
        assert worst(before, expected) > 1e-3, f"{name}: the edit must be seen at all"
        for parameter in call.module.parameters():
            parameter.data.mul_(0.3)


def test_a_weight_that_stands_elsewhere_is_taken_by_rebind(engine, call) -> None:
    built = build(engine, call)
    for name, edit in edits.ELSEWHERE.items():
        before = built.run(call)
        for layer in ("conv", "linear"):
            edit(call.module, layer)
        rebind(built, call)
        expected = call.eager()
        assert worst(built.run(call), expected) < 1e-5, name
        assert worst(before, expected) > 1e-3, f"{name}: the edit must be seen at all"
        for parameter in call.module.parameters():
            parameter.data.mul_(0.3)


def test_only_what_was_edited_is_written_again(engine, call) -> None:
    built = build(engine, call)
    homes = homes_of(built)
    built.run(call)
    call.module.linear.weight.data.mul_(2)
    built.run(call)
    assert {key for key, home in homes.items() if home.writes > 1} == {"linear.weight"}


def test_programs_of_two_sizes_read_one_copy(engine, call) -> None:
    first = build(engine, call)
    other = Call(call.module, (torch.randn(2, 4, 8, 8),))
    second = build(engine, other)
    assert set(map(id, first.program._homes)) == set(map(id, second.program._homes))
    kept = call.module.conv.weight.clone()
    for factor in (3, 1):
        call.module.conv.weight.data.copy_(kept * factor)
        assert worst(first.run(call), call.eager()) < 1e-6
    call.module.conv.weight.data.copy_(kept * 3)
    assert worst(second.run(other), other.eager()) < 1e-6
    assert worst(first.run(call), call.eager()) < 1e-6


def test_who_holds_a_weight_that_was_replaced_keeps_its_values(engine, call) -> None:
    built = build(engine, call)
    old = call.module.linear.weight
    kept = old.clone()
    call.module.linear.weight = torch.nn.Parameter(torch.randn(4, 8), requires_grad=False)
    rebind(built, call)
    assert worst(built.run(call), call.eager()) < 1e-6
    assert torch.equal(old, kept)


def test_a_forked_process_has_copies_of_its_own(engine, call) -> None:
    built = build(engine, call)
    expected = built.run(call)
    child = os.fork()
    if child == 0:
        try:
            call.module.conv.weight.data.mul_(3)
            good = worst(built.run(call), call.eager()) < 1e-6
            engine.close()
        except BaseException:
            good = False
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(built.run(call), expected)


@pytest.mark.parametrize("rows", [3, 5])
def test_a_weight_may_be_given_another_shape(engine, call, rows) -> None:
    """As the words of a textual inversion do: the parameter stays, its `data` are others."""
    build(engine, call)
    module = call.module
    for tensor in (module.linear.weight, module.linear.bias, module.scale):
        tensor.data = torch.randn(rows, *tensor.shape[1:])
    assert worst(build(engine, call).run(call), call.eager()) < 1e-6
    assert module.linear.weight.shape == (rows, 8)


def test_ties_are_one_copy(engine, call) -> None:
    built, module = build(engine, call), call.module
    homes = homes_of(built)
    assert homes["conv.weight"] is homes["tied.weight"]
    for conv in (module.conv, module.tied):
        conv.weight[0, 0, 0, 0] += 5
        assert worst(built.run(call), call.eager()) < 1e-6


def test_outputs_belong_to_the_caller(engine, call) -> None:
    built = build(engine, call)
    first = built.run(call)
    kept = first.clone()
    built.run(Call(call.module, (call.args[0] * 2,)))
    assert torch.equal(first, kept)
    first.zero_()
    assert worst(built.run(call), kept) == 0


def test_models_that_are_gone_give_their_memory_back(engine, call) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        fresh = Call(Small().eval().requires_grad_(False), call.args)
        build(engine, fresh)
        del fresh
        gc.collect()
    assert not engine._store._homes
    build(engine, call)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 6
