"""One copy of the weights: shared memory, edits in place, new weights, ties, and the way back."""

from __future__ import annotations

import pytest
import torch
from helpers import built, worst

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine, JaxProgram
from sdbackends.errors import RunError
from tests.engines.calls import Call, rand, ready


class Small(torch.nn.Module):
    """A convolution, a pointwise one, a linear layer, a buffer of integers, a tied pair."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied = torch.nn.Conv2d(4, 8, 3, padding=1)
        self.tied.weight = torch.nn.Parameter(self.conv.weight.data)
        self.point = torch.nn.Conv2d(8, 8, 1)
        self.linear = torch.nn.Linear(8, 4)
        self.register_buffer("places", torch.arange(3, -1, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.point(self.conv(x) + self.tied(x))
        return self.linear(y.permute(0, 2, 3, 1))[..., self.places]


@pytest.fixture
def call() -> Call:
    return Call(ready(Small()), (rand(1, 4, 6, 5),))


def answer(program: JaxProgram, call: Call) -> torch.Tensor:
    (result,) = program(call.tensors())
    return result


def build(engine: JaxEngine, call: Call) -> JaxProgram:
    _, program = built(engine, call)
    assert isinstance(program, JaxProgram)
    return program


def pointers(program: JaxProgram) -> dict[str, int]:
    values = program._graph.weights
    return {
        v.key: b.array.unsafe_buffer_pointer()
        for v, b in zip(values, program._weights, strict=True)
    }


def test_every_float_weight_is_torchs_own_memory(engine: JaxEngine, call: Call) -> None:
    found = pointers(build(engine, call))
    state = {**dict(call.module.named_parameters(remove_duplicate=False))}
    assert {key: found[key] for key in state} == {k: t.data_ptr() for k, t in state.items()}


def test_torch_keeps_working_on_the_kernels_that_moved(engine: JaxEngine, call: Call) -> None:
    expected = call.eager()
    program = build(engine, call)
    assert call.module.conv.weight.stride() == (1, 8, 96, 32)
    assert worst(call.eager(), expected) < 1e-6
    assert worst(answer(program, call), expected) < 1e-6


def test_an_edit_in_place_reaches_the_program(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    with torch.no_grad():
        call.module.conv.weight.mul_(2)
        call.module.linear.bias.data.fill_(3)
    assert worst(answer(program, call), call.eager()) < 1e-6


def test_ties_stay_ties(engine: JaxEngine, call: Call) -> None:
    build(engine, call)
    module = call.module
    assert module.conv.weight.data_ptr() == module.tied.weight.data_ptr()
    engine.close()
    assert module.conv.weight.data_ptr() == module.tied.weight.data_ptr()


def test_a_second_program_finds_the_weights_ready(engine: JaxEngine, call: Call) -> None:
    first = build(engine, call)
    strides = call.module.conv.weight.stride()
    second = build(engine, Call(call.module, (rand(2, 4, 8, 8),)))
    floats = dict(call.module.named_parameters()).keys()
    assert {k: pointers(second)[k] for k in floats} == {k: pointers(first)[k] for k in floats}
    assert call.module.conv.weight.stride() == strides


def test_rebind_takes_new_weights_and_keeps_the_rest(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    before = pointers(program)
    module = call.module
    module.linear.weight = torch.nn.Parameter(rand(4, 8, seed=7))
    module.conv.weight.data = rand(8, 4, 3, 3, seed=8)
    module.places.copy_(torch.tensor([0, 2, 1, 3]))
    program.rebind({v.key: attribute(module, v.key) for v in program._graph.weights})
    after = pointers(program)
    assert {k for k in before if before[k] != after[k]} == {
        "linear.weight",
        "conv.weight",
        "places",
    }
    assert worst(answer(program, call), call.eager()) < 1e-6


def attribute(module: torch.nn.Module, key: str) -> torch.Tensor:
    owner, _, name = key.rpartition(".")
    tensor = getattr(module.get_submodule(owner), name)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def test_weights_at_odd_addresses_move_once(engine: JaxEngine, call: Call) -> None:
    """As safetensors gives them: views into one buffer, aligned to nothing."""
    pool = torch.empty(33)
    with torch.no_grad():
        pool[1:].copy_(call.module.linear.weight.flatten())
    call.module.linear.weight.data = pool[1:].view(4, 8)
    expected = call.eager()
    program = build(engine, call)
    assert call.module.linear.weight.data_ptr() == pointers(program)["linear.weight"]
    assert worst(answer(program, call), expected) < 1e-6


def test_close_gives_every_parameter_its_plain_form_back(engine: JaxEngine, call: Call) -> None:
    expected = call.eager()
    before = {k: v.clone() for k, v in call.module.state_dict().items()}
    program = build(engine, call)
    engine.close()
    assert all(p.is_contiguous() for p in call.module.parameters())
    assert all(torch.equal(v, before[k]) for k, v in call.module.state_dict().items())
    assert torch.equal(call.eager(), expected)
    with pytest.raises(RunError, match="closed"):
        program(call.tensors())


def test_outputs_belong_to_the_caller(engine: JaxEngine) -> None:
    """Not even an input, a weight or one value returned twice is handed through."""

    class Through(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(rand(64))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            y = x + 1
            return x.clone(), self.weight.view(64), y, y.clone()

    call = Call(ready(Through()), (rand(64),))
    _, program = built(engine, call)
    given = call.tensors()
    results = program(given)
    places = [t.data_ptr() for t in (*given, call.module.weight, *results)]
    assert len(set(places)) == len(places)
    for result in results:
        result.fill_(7.0)
    assert all(worst(a, b) < 1e-6 for a, b in zip(program(given), call.eager(), strict=True))


@pytest.mark.parametrize(
    "tensor",
    [
        rand(6, 4).t(),
        rand(99)[1:],
        rand(8, 4)[::2],
        rand(4, 4).half(),
        rand(4, 4).bfloat16(),
        torch.tensor(3.0),
        torch.tensor(3),
        torch.tensor([True, False]),
        torch.arange(5),
        rand(3).double(),
        torch.zeros(0, 3),
        rand(1, 3).expand(4, 3),
    ],
    ids=lambda t: f"{t.dtype}{tuple(t.shape)}{t.stride()}",
)
def test_any_input_comes_back_as_it_went(engine: JaxEngine, tensor: torch.Tensor) -> None:
    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[None], x[None]])

    _, program = built(engine, Call(Double(), (tensor,)))
    (result,) = program([tensor])
    assert result.dtype == tensor.dtype
    assert torch.equal(result, torch.stack([tensor, tensor]).to(result.dtype)) or (
        tensor.dtype == torch.float64 and torch.allclose(result[0], tensor, atol=1e-6)
    )


def test_two_engines_share_nothing_but_torch(call: Call) -> None:
    """A NCHW engine wants plain kernels: each layout keeps working when the other moved them."""
    first = JaxEngine(EngineContext(device="cpu"))
    second = JaxEngine(EngineContext({"layout": "nchw"}, "cpu"))
    a, b = build(first, call), build(second, call)
    assert worst(answer(a, call), call.eager()) < 1e-6
    assert worst(answer(b, call), call.eager()) < 1e-6
