"""Weights compiled into the program: the script's tensors stay as they are, no edit is missed."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture.direct import weights_of
from sdbackends.engines.openvino.engine import OpenvinoEngine
from sdbackends.engines.openvino.program import OpenvinoProgram
from sdbackends.errors import BuildError, RunError
from tests.engines import edits
from tests.engines.calls import Call, rand, ready
from tests.engines.programs import built, worst


class Small(torch.nn.Module):
    """A convolution and one tied to it by hand, a linear layer, a buffer of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied.weight = torch.nn.Parameter(self.conv.weight.data)
        self.linear = torch.nn.Linear(8, 4)
        self.register_buffer("places", torch.arange(3, -1, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) + self.tied(x)
        return self.linear(y.permute(0, 2, 3, 1))[..., self.places]


@pytest.fixture
def call() -> Call:
    return Call(ready(Small()), (rand(1, 4, 6, 5),))


def build(engine: OpenvinoEngine, call: Call) -> OpenvinoProgram:
    _, program = built(engine, call)
    assert isinstance(program, OpenvinoProgram)
    return program


def answer(program: OpenvinoProgram, call: Call) -> torch.Tensor:
    (result,) = program(call.tensors())
    return result


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_scripts_tensors_are_left_alone(engine, call, channels_last) -> None:
    if channels_last:
        call.module.conv.to(memory_format=torch.channels_last)
    before, expected = edits.picture_of(call.module), call.eager()
    program = build(engine, call)
    assert worst(answer(program, call), expected) < 1e-6
    assert edits.picture_of(call.module) == before
    program.close()
    assert edits.picture_of(call.module) == before
    with pytest.raises(RunError, match="closed"):
        answer(program, call)


@pytest.mark.parametrize("name", edits.IN_PLACE)
def test_an_edit_in_place_is_seen_by_the_next_call(name, engine, call) -> None:
    handles = edits.Handles(call.module)
    program = build(engine, call)
    before = answer(program, call)
    for weight in ("conv.weight", "linear.weight", "linear.bias"):
        edits.IN_PLACE[name](handles, weight)
    expected = call.eager()
    assert worst(answer(program, call), expected) < 1e-5
    assert worst(before, expected) > 1e-3, "the edit must be seen at all"


@pytest.mark.parametrize("name", edits.ELSEWHERE)
def test_a_weight_that_stands_elsewhere_is_taken_by_rebind(name, engine, call) -> None:
    captured, program = built(engine, call)
    before = answer(program, call)
    edits.ELSEWHERE[name](call.module, "conv")
    program.rebind(weights_of(call.module, captured.graph))
    expected = call.eager()
    assert worst(answer(program, call), expected) < 1e-5
    assert worst(before, expected) > 1e-3


def test_results_are_the_callers_own(engine, call) -> None:
    program = build(engine, call)
    first = answer(program, call)
    kept = first.clone()
    answer(program, Call(call.module, (rand(1, 4, 6, 5) + 1,)))
    assert torch.equal(first, kept)
    first.zero_()
    assert torch.equal(answer(program, call), kept)


def test_weights_that_are_edited_before_every_call_become_arguments(engine, call) -> None:
    captured, program = built(engine, call)
    handles = edits.Handles(call.module)
    for turn, edit in enumerate([*edits.IN_PLACE.values()] * 2):
        edit(handles, "conv.weight")
        assert worst(answer(program, call), call.eager()) < 1e-5
        assert program._takes_weights == (turn >= 2)
        for parameter in call.module.parameters():
            parameter.data.mul_(0.3)
    for edit in edits.ELSEWHERE.values():
        edit(call.module, "conv")
        program.rebind(weights_of(call.module, captured.graph))
        assert worst(answer(program, call), call.eager()) < 1e-5


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_after_a_compilation_that_failed_the_next_call_compiles(
    earlier, engine, call, monkeypatch
) -> None:
    """Of constants, and of the program that is to take the weights as arguments."""
    program = build(engine, call)
    for _ in range(earlier):
        call.module.conv.weight.data.mul_(1.5)
        answer(program, call)

    def fail(*_: object) -> None:
        raise BuildError("no memory")

    call.module.conv.weight.data.mul_(1.5)
    with monkeypatch.context() as patch:
        patch.setattr(program, "_compile", fail)
        with pytest.raises(BuildError, match="no memory"):
            answer(program, call)
    for _ in range(3):
        assert worst(answer(program, call), call.eager()) < 1e-5
        call.module.conv.weight.data.mul_(1.5)


def test_weights_that_are_edited_now_and_then_stay_constants(engine, call) -> None:
    program = build(engine, call)
    for _ in range(6):
        call.module.conv.weight.data.mul_(1.01)
        assert worst(answer(program, call), call.eager()) < 1e-5
        answer(program, call)
    assert not program._takes_weights
