"""One copy of the weights for torch and the worker: edits in place, new weights, ties, way back."""

from __future__ import annotations

import gc
import os

import pytest
import torch

from sdbackends.capture.export import weights_of
from sdbackends.errors import RunError
from tests.engines.calls import Call
from tests.oneflow.helpers import Built, build, worst


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


def in_shared_memory(tensor: torch.Tensor) -> bool:
    with open(f"/proc/{os.getpid()}/maps") as maps:
        for line in maps:
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            if first <= tensor.data_ptr() < last:
                return "memfd:" in line
    return False


EDITS = {
    "in place": lambda p: p.mul_(3),
    "through data": lambda p: p.data.mul_(3),
    "copied": lambda p: p.copy_(torch.full_like(p, 0.1)),
    "from numpy": lambda p: p.numpy().__imul__(3),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_in_place_reaches_the_worker_without_a_word(engine, call, edit) -> None:
    built = build(engine, call)
    before = built.run(call)
    for name in ("conv.weight", "linear.weight", "linear.bias", "scale"):
        tensor = call.module.state_dict(keep_vars=True)[name]
        EDITS[edit](tensor)
    assert worst(built.run(call), call.eager()) < 1e-6
    assert worst(before, call.eager()) > 1e-2, "the edit must be seen at all"


def test_torchs_own_memory_is_the_workers(engine, call) -> None:
    build(engine, call)
    assert all(in_shared_memory(tensor) for tensor in call.module.state_dict().values())
    engine.close()
    assert not any(in_shared_memory(tensor) for tensor in call.module.state_dict().values())


def test_a_second_program_moves_nothing(engine, call) -> None:
    build(engine, call)
    before = {name: tensor.data_ptr() for name, tensor in call.module.state_dict().items()}
    other = Call(call.module, (torch.randn(2, 4, 8, 8),))
    assert worst(build(engine, other).run(other), other.eager()) < 1e-6
    assert before == {n: tensor.data_ptr() for n, tensor in call.module.state_dict().items()}


def test_rebind_takes_new_weights(engine, call) -> None:
    built = build(engine, call)
    module = call.module
    old = module.linear.weight
    module.linear.weight = torch.nn.Parameter(torch.randn(4, 8), requires_grad=False)
    module.conv.weight.data = torch.randn(8, 4, 3, 3)
    kept = old.clone()
    rebind(built, call)
    assert worst(built.run(call), call.eager()) < 1e-6
    assert torch.equal(old, kept), "who still holds the old weight keeps its values"


@pytest.mark.parametrize("rows", [3, 5])
def test_a_weight_may_be_given_another_shape(engine, call, rows) -> None:
    """As the words of a textual inversion do: the parameter stays, its `data` are others."""
    build(engine, call)
    module = call.module
    for tensor in (module.linear.weight, module.linear.bias, module.scale):
        tensor.data = torch.randn(rows, *tensor.shape[1:])
    assert worst(build(engine, call).run(call), call.eager()) < 1e-6
    assert module.linear.weight.shape == (rows, 8)
    engine.close()
    assert not in_shared_memory(module.linear.weight)


def test_ties_stay_ties(engine, call) -> None:
    build(engine, call)
    module = call.module
    assert module.conv.weight.data_ptr() == module.tied.weight.data_ptr()
    engine.close()
    assert module.conv.weight.data_ptr() == module.tied.weight.data_ptr()


def test_close_gives_values_and_strides_back(engine, call) -> None:
    module = call.module.to(memory_format=torch.channels_last)
    strides = {name: tensor.stride() for name, tensor in module.state_dict().items()}
    expected = call.eager()
    built = build(engine, call)
    assert worst(built.run(call), expected) < 1e-6
    engine.close()
    assert strides == {name: tensor.stride() for name, tensor in module.state_dict().items()}
    assert torch.equal(call.eager(), expected)
    with pytest.raises(RunError, match="closed"):
        built.program(call.tensors())


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
    build(engine, call)  # the dead are buried at the next build
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 6
