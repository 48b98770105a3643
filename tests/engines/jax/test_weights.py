"""Weights shared with torch or copied: the script's tensors stay as they are, no edit is missed."""

from __future__ import annotations

import gc
import weakref

import jax
import pytest
import torch

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax import dlpack
from sdbackends.engines.jax.engine import JaxEngine, JaxProgram
from sdbackends.engines.jax.weights import Copied
from sdbackends.errors import RunError
from tests.engines import edits
from tests.engines.calls import Call, rand, ready
from tests.engines.programs import built, worst


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


def rebind(program: JaxProgram, call: Call) -> None:
    tensors = dict(call.module.named_parameters(remove_duplicate=False))
    tensors.update(call.module.named_buffers())
    program.rebind({v.key: tensors[v.key] for v in program._graph.weights})


def pointers(program: JaxProgram) -> dict[str, int]:
    values = program._graph.weights
    return {
        v.key: b.array.unsafe_buffer_pointer()
        for v, b in zip(values, program._weights, strict=True)
    }


def copied(program: JaxProgram) -> set[str]:
    pairs = zip(program._graph.weights, program._weights, strict=True)
    return {value.key for value, weight in pairs if isinstance(weight, Copied)}


def test_what_jax_can_read_is_torchs_own_memory(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    found = pointers(program)
    state = call.module.state_dict()
    # Kernels are wanted as HWIO, integers in 32 bits.
    assert copied(program) == {"conv.weight", "tied.weight", "places"}
    shared = found.keys() - copied(program)
    assert {key: found[key] for key in shared} == {key: state[key].data_ptr() for key in shared}


@pytest.mark.parametrize("layout", ["auto", "nhwc", "nchw"])
def test_the_scripts_tensors_are_left_alone(call: Call, layout: str) -> None:
    before = edits.picture_of(call.module)
    engine = JaxEngine(EngineContext({"layout": layout}, "cpu"))
    program = build(engine, call)
    assert worst(answer(program, call), call.eager()) < 1e-6
    assert edits.picture_of(call.module) == before
    engine.close()
    assert edits.picture_of(call.module) == before


@pytest.mark.parametrize("edit", edits.IN_PLACE)
def test_an_edit_in_place_is_seen_by_the_next_call(engine: JaxEngine, call: Call, edit) -> None:
    handles = edits.Handles(call.module)
    program = build(engine, call)
    before = answer(program, call)
    for name in ("conv.weight", "linear.weight", "linear.bias"):
        edits.IN_PLACE[edit](handles, name)
    assert worst(answer(program, call), call.eager()) < 1e-6
    assert worst(before, call.eager()) > 1e-2, "the edit must be seen at all"


@pytest.mark.parametrize("edit", edits.ELSEWHERE)
def test_a_weight_that_stands_elsewhere_is_taken_by_rebind(
    engine: JaxEngine, call: Call, edit
) -> None:
    program = build(engine, call)
    before = answer(program, call)
    with torch.no_grad():
        edits.ELSEWHERE[edit](call.module, "conv")
        edits.ELSEWHERE[edit](call.module, "linear")
    rebind(program, call)
    assert worst(answer(program, call), call.eager()) < 1e-6
    assert worst(before, call.eager()) > 1e-2, "the edit must be seen at all"
    edits.Handles(call.module)["conv.weight"].mul_(2)
    assert worst(answer(program, call), call.eager()) < 1e-6


def test_only_the_copy_of_an_edited_weight_is_written_again(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    writes = {id(w): w.writes for w in program._weights if isinstance(w, Copied)}
    answer(program, call)
    assert all(w.writes == 1 for w in program._weights if isinstance(w, Copied))
    call.module.conv.weight.data.mul_(2)
    answer(program, call)
    again = [w for w in program._weights if isinstance(w, Copied) and w.writes != writes[id(w)]]
    assert len({id(copy) for copy in again}) == 1
    rebind(program, call)
    assert sorted({w.writes for w in program._weights if isinstance(w, Copied)}) == [1, 2]


def test_ties_are_one_copy_and_an_edit_of_either_is_seen(engine: JaxEngine, call: Call) -> None:
    program, module = build(engine, call), call.module
    found = pointers(program)
    assert found["conv.weight"] == found["tied.weight"]
    for conv in (module.conv, module.tied):
        conv.weight[0, 0, 0, 0] += 5
        assert worst(answer(program, call), call.eager()) < 1e-6


def test_programs_of_two_sizes_read_one_copy(engine: JaxEngine, call: Call) -> None:
    first = build(engine, call)
    other = Call(call.module, (rand(2, 4, 8, 8),))
    second = build(engine, other)
    assert pointers(second) == pointers(first)
    kept = call.module.conv.weight.clone()
    # What the one has noticed the other may not take for unchanged, forward and back.
    for values in (kept * 3, kept):
        call.module.conv.weight.data.copy_(values)
        assert worst(answer(first, call), call.eager()) < 1e-6
    call.module.conv.weight.data.copy_(kept * 3)
    answer(first, call)
    call.module.conv.weight.data.copy_(kept)
    assert worst(answer(second, other), other.eager()) < 1e-6
    assert worst(answer(first, call), call.eager()) < 1e-6


def test_two_models_may_share_a_parameter(engine: JaxEngine, call: Call) -> None:
    other = Call(ready(Small(), seed=3), call.args)
    other.module.conv.weight = call.module.conv.weight
    first, second = build(engine, call), build(engine, other)
    assert pointers(first)["conv.weight"] == pointers(second)["conv.weight"]
    call.module.conv.weight.data.mul_(2)
    for program, one in ((first, call), (second, other)):
        assert worst(answer(program, one), one.eager()) < 1e-6


def test_half_of_a_weight_edited_through_data(engine: JaxEngine) -> None:
    call = Call(ready(torch.nn.Conv2d(64, 64, 3)), (rand(1, 64, 8, 8),))
    program = build(engine, call)
    weight = call.module.weight
    for part in (weight.data[:32], weight.data[63:], weight.data[:, ::2], weight.data[5, :3]):
        part.mul_(3)
        assert worst(answer(program, call), call.eager()) < 1e-6


def test_unaligned_weights_of_a_mapped_file(engine: JaxEngine, tmp_path, call: Call) -> None:
    """safetensors maps the file: where its weights stand depends on how long the header is."""
    from safetensors.torch import load_file, save_file

    module = call.module
    values = {k: v.clone() for k, v in module.state_dict().items() if k != "tied.weight"}
    found = []
    for length in range(1, 60, 9):
        save_file(values, tmp_path / f"{length}", metadata={"note": "x" * length})
        loaded = load_file(tmp_path / f"{length}")
        found.append(loaded["linear.weight"].data_ptr() % dlpack.ALIGNMENT)
        module.load_state_dict(loaded, strict=False, assign=True)
        before = edits.picture_of(module)
        program = build(engine, call)
        assert worst(answer(program, call), call.eager()) < 1e-6
        module.linear.weight.data.mul_(2)
        assert worst(answer(program, call), call.eager()) < 1e-6
        assert edits.picture_of(module) == before
    assert any(found), "no file of them was unaligned"


def test_a_model_made_in_inference_mode(engine: JaxEngine) -> None:
    with torch.inference_mode():
        call = Call(ready(Small()), (rand(1, 4, 6, 5),))
        program = build(engine, call)
        assert copied(program) == {"conv.weight", "tied.weight", "places"}
        assert worst(answer(program, call), call.eager()) < 1e-6
        call.module.conv.weight.mul_(2)
        call.module.linear.weight.mul_(2)
    assert worst(answer(program, call), call.eager()) < 1e-6


def test_a_model_that_is_let_go_is_collected(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    answer(program, call)
    gone = [weakref.ref(call.module), *map(weakref.ref, call.module.parameters())]
    del call.module
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
    copy = weakref.ref(next(w for w in program._weights if isinstance(w, Copied)))
    del program
    gc.collect()
    assert copy() is None and not engine._store._copies


def test_a_closed_program_lets_go_of_its_machine_code(engine: JaxEngine, call: Call) -> None:
    """Dynamo keeps programs; an executable is some hundred of the 65,530 mappings of a process."""
    program = build(engine, call)
    executable = weakref.ref(program._run)
    program(call.tensors())
    program.close()
    gc.collect()
    assert executable() is None


def test_a_closed_program_says_so(engine: JaxEngine, call: Call) -> None:
    program = build(engine, call)
    engine.close()
    assert not engine._store._copies
    with pytest.raises(RunError, match="closed"):
        program(call.tensors())


def test_what_is_not_aligned_is_copied_before_it_is_given(monkeypatch) -> None:
    """A GPU refuses it; XLA:CPU copies in silence, so the refusal is played here."""
    given = jax.dlpack.from_dlpack

    def refuse(tensor: torch.Tensor):
        assert tensor.data_ptr() % 16 == 0
        return given(tensor)

    monkeypatch.setattr(jax.dlpack, "from_dlpack", refuse)
    steps = torch.linspace(999.0, 0.0, 20)
    for step in steps.unbind():
        assert float(dlpack.to_jax(step, jax.devices("cpu")[0])) == float(step)


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
    """Each has copies in its own order, and sees an edit."""
    first = JaxEngine(EngineContext(device="cpu"))
    second = JaxEngine(EngineContext({"layout": "nchw"}, "cpu"))
    a, b = build(first, call), build(second, call)
    for _ in range(2):
        assert worst(answer(a, call), call.eager()) < 1e-6
        assert worst(answer(b, call), call.eager()) < 1e-6
        call.module.conv.weight.data.mul_(2)
