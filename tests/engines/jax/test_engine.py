"""The engine from outside: what it refuses, its options and devices, its cache, its manners."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
import torch

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, Value
from sdbackends.engines.base import CallSite, EngineContext
from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.errors import BackendNotReadyError, BuildError, RunError, UsageError
from tests.engines.calls import Call, rand, ready
from tests.engines.programs import built, run, worst


def small_call() -> Call:
    return Call(ready(torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.SiLU())), (rand(2, 8),))


def engine_in(folder: Path | None, **options: str) -> JaxEngine:
    return JaxEngine(EngineContext(options, "cpu", folder))


def graph_of(*nodes: Node) -> Graph:
    x = Value("x", "0", TensorSpec((2, 3), "float32"))
    return Graph((x,), (), (), nodes, (Ref(nodes[-1].name),))


def node(name: str, op: str, site: str, *, dtype: str = "float32", size: int = 2) -> Node:
    return Node(name, op, (Ref("x"),), {}, (TensorSpec((size, 3), dtype),), False, site)


def test_all_missing_ops_are_named_with_every_site(engine: JaxEngine) -> None:
    graph = graph_of(
        node("a", "aten.relu.default", "here"),
        node("b", "aten.nowhere.default", "down.0"),
        node("c", "aten.relu.default", "there", dtype="complex64"),
        node("d", "aten.nowhere.default", "up.1"),
    )
    nowhere, complex_relu = engine.unsupported(graph)
    x = "float32[2, 3]"
    assert nowhere.op == "aten.nowhere.default"
    assert nowhere.sites == (CallSite("down.0", x, x), CallSite("up.1", x, x))
    assert complex_relu.op == "aten.relu.default (complex64)"
    assert complex_relu.sites == (CallSite("there", x, "complex64[2, 3]"),)
    assert complex_relu.place == "sdbackends/engines/jax/ops/unary.py"


def test_arguments_that_no_lowering_takes_are_reported_before_the_build(engine: JaxEngine) -> None:
    def attention(name: str, **options: float) -> Node:
        x, spec = Ref("x"), TensorSpec((2, 3), "float32")
        op = "aten.scaled_dot_product_attention.default"
        return Node(name, op, (x, x, x), dict(options), (spec,), False, name)

    graph = graph_of(attention("a"), attention("b", dropout_p=0.5), attention("c", dropout_p=0.0))
    (missing,) = engine.unsupported(graph)
    assert missing.op == "aten.scaled_dot_product_attention.default (with dropout)"
    assert [site.path for site in missing.sites] == ["b"]


def test_a_wrong_shape_is_never_passed_on(engine: JaxEngine) -> None:
    graph = graph_of(node("a", "aten.relu.default", "mid.block", size=5))
    with pytest.raises(BuildError, match=r"mid\.block"):
        engine.build(graph, {}, {})


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="layout"):
        JaxEngine(EngineContext({"fast": "yes"}, "cpu"))
    with pytest.raises(UsageError, match="im2col"):
        JaxEngine(EngineContext({"conv": "winograd"}, "cpu"))


def test_devices_are_checked() -> None:
    with pytest.raises(UsageError, match="tpu"):
        JaxEngine(EngineContext(device="abacus"))
    with pytest.raises(BackendNotReadyError, match="SD_DEVICE=cpu"):
        JaxEngine(EngineContext(device="tpu"))
    with pytest.raises(BackendNotReadyError, match="cpu:99"):
        JaxEngine(EngineContext(device="cpu:99"))


def test_a_program_is_read_from_the_cache(tmp_path: Path) -> None:
    call = small_call()
    first, _ = run(engine_in(tmp_path), call)
    second, result = run(engine_in(tmp_path), call)
    assert (first.from_cache, second.from_cache) == (False, True)
    assert worst(result, call.eager()) < 1e-6


def test_a_damaged_cache_entry_is_made_anew(tmp_path: Path) -> None:
    call = small_call()
    run(engine_in(tmp_path), call)
    entries = [path for path in tmp_path.rglob("*-cache") if path.is_file()]
    assert entries
    for path in entries:
        path.write_bytes(path.read_bytes()[:-40] + b"damaged")
    program, result = run(engine_in(tmp_path), call)
    assert not program.from_cache
    assert worst(result, call.eager()) < 1e-6
    assert run(engine_in(tmp_path), call)[0].from_cache


def test_jax_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(jax.config.values)
    call = small_call()
    engine = engine_in(tmp_path)
    run(engine, call)
    engine.close()
    assert dict(jax.config.values) == before


def test_a_script_may_use_64_bit_jax_itself(engine: JaxEngine) -> None:
    call = small_call()
    with jax.enable_x64(True):
        _, result = run(engine, call)
    assert worst(result, call.eager()) < 1e-6


def test_nothing_is_said_on_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    run(engine_in(None), small_call())
    assert capfd.readouterr() == ("", "")


def test_a_program_runs_again_on_other_inputs(engine: JaxEngine) -> None:
    call = small_call()
    _, program = built(engine, call)
    program(call.tensors())
    other = Call(call.module, (rand(2, 8, seed=9),))
    assert worst(list(program(other.tensors())), [other.eager()]) < 1e-6


def test_an_axis_of_length_one_may_have_any_stride(engine: JaxEngine) -> None:
    """Such a tensor is contiguous, and JAX still took its strides for a layout of its own."""
    turned = rand(8, 1).permute(1, 0)
    assert turned.is_contiguous() and turned.stride() != (8, 1)
    narrow = Call(small_call().module, (turned,))
    _, result = run(engine, narrow)
    assert worst(result, narrow.eager()) < 1e-6


class Below(torch.nn.Module):
    def forward(self, x: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        return x < limit


def test_the_ends_of_int64_are_no_limit(engine: JaxEngine) -> None:
    ends = torch.tensor([torch.iinfo(torch.int64).max, torch.iinfo(torch.int64).min, 0])
    call = Call(Below(), (torch.tensor([2**31 - 2, 1 - 2**31, -5]), ends))
    _, result = run(engine, call)
    assert result.tolist() == call.eager().tolist() == [True, False, True]


def test_an_integer_beyond_32_bits_is_refused(engine: JaxEngine) -> None:
    """Cut to 32 bits it would be another number, and nobody would know."""
    _, program = built(engine, call := Call(Below(), (torch.tensor([1, 2]), torch.tensor([3, 3]))))
    with pytest.raises(RunError, match="4294967297"):
        program([call.args[0], torch.tensor([3, 2**32 + 1])])
