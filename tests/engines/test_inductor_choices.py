"""What inductor's engine chooses: the mode by the device, and when weights stay arguments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sdbackends.catalog import backend_files
from sdbackends.engines import inductor, inductor_frozen
from sdbackends.engines.base import EngineContext
from sdbackends.engines.inductor import InductorEngine
from sdbackends.engines.inductor_frozen import Frozen


@pytest.mark.parametrize(
    ("mode", "devices", "expected"),
    [
        ("auto", ["cpu", "cuda"], "reduce-overhead"),
        ("auto", ["cpu"], "default"),
        ("auto", [], "default"),
        ("default", ["cuda"], "default"),
        ("max-autotune", ["cpu"], "max-autotune"),
    ],
)
def test_cuda_graphs_where_a_gpu_runs_the_graph(
    mode: str, devices: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "Tensor", SimpleNamespace)
    inputs = [SimpleNamespace(is_cuda=device == "cuda") for device in devices]
    assert inductor._mode_for(mode, [*inputs, 3]) == expected


def test_the_mode_of_compile_is_accepted_and_on_a_cpu_nothing_is_recorded() -> None:
    engine = InductorEngine(EngineContext(options=backend_files.load("compile").options))
    module = torch.fx.symbolic_trace(lambda x: (torch.nn.functional.silu(x),))
    with torch.no_grad():
        program = engine.compile(module, [torch.ones(3)])
        (found,) = program(torch.ones(3))
        torch.testing.assert_close(found, torch.nn.functional.silu(torch.ones(3)))
    assert program.__qualname__ != "_recorded.<locals>.run"
    engine.close()


class Compiler:
    """Notes what it is asked to compile; a program adds its weight to its input."""

    def __init__(self) -> None:
        self.frozen = 0
        self.open = 0

    def with_constants(self, args: list[Any]) -> Any:
        self.frozen += 1
        value = args[0].clone()
        return lambda weight, x: value + x

    def with_arguments(self, args: list[Any]) -> Any:
        self.open += 1
        return lambda weight, x: weight + x


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


def test_a_graph_whose_weights_stand_elsewhere_each_time_is_frozen_no_more(compiler) -> None:
    """As an autoencoder that is brought to float32 for every picture."""
    x = torch.zeros(3)
    held = [torch.full((3,), float(number)) for number in range(12)]
    frozen = Frozen(compiler.with_constants, compiler.with_arguments, [held[0], x], [0])
    for weight in held[1:]:
        assert torch.equal(frozen(weight, x), weight)
    assert compiler.frozen == 1 + inductor_frozen._NEW_BUILDS and compiler.open == 1


def test_weights_that_are_left_alone_stay_constants(compiler) -> None:
    x, weight = torch.zeros(3), torch.ones(3)
    frozen = Frozen(compiler.with_constants, compiler.with_arguments, [weight, x], [0])
    for _ in range(5):
        frozen(weight, x)
    weight.add_(1)
    assert torch.equal(frozen(weight, x), weight)
    assert (compiler.frozen, compiler.open) == (2, 0)
