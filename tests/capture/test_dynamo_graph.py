"""What a graph of Dynamo says of its arguments, its results and its content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sdbackends.capture.dynamo_graph import Unkeyed
from sdbackends.capture.export import path_of
from sdbackends.runtime.graph_call import GraphCall
from tests.capture.tracing import Traced, graph_of
from tests.replay import ReplayEngine


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: torch.Tensor, strength: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x * self.scale if strength is None else x * strength


def test_weights_are_told_from_inputs_and_have_their_names() -> None:
    module = Layers().eval()
    graph = graph_of(module, torch.ones(1, 4), strength=module.scale.clone())
    names = {graph.arguments[place].name for place in graph.weights}
    assert names == {"blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"}
    assert len(graph.inputs) == 2


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("L['module']._modules['mid_block']._parameters['bias']", "mid_block.bias"),
        ("L['module'].__dict__['_modules']['blocks']._modules['0']", "blocks.0"),
        ("L['module'].__dict__['_modules']['down_blocks'].0.resnets.1", "down_blocks.0.resnets.1"),
        ("L['module']", ""),
    ],
)
def test_paths_of_sources(source: str, path: str) -> None:
    assert path_of(source) == path


def test_the_key_is_that_of_the_computation() -> None:
    x = torch.ones(1, 4)
    key = graph_of(Layers().eval(), x).key()
    assert graph_of(Layers().eval(), x).key() == key
    assert graph_of(Layers().eval(), torch.ones(2, 4)).key() != key
    assert graph_of(Layers().eval(), x, strength=torch.tensor(1.0)).key() != key
    assert graph_of(Layers().double().eval(), x.double()).key() != key
    patched = Layers().eval()
    patched.blocks[0].forward = lambda y: y.sin()  # type: ignore[method-assign]
    assert graph_of(patched, x).key() != key


class Adding(torch.nn.Module):
    """Its constant is made while it is traced."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tensor([self.number, 1.0])


def test_the_key_knows_constants() -> None:
    keys = [graph_of(Adding(number).eval(), torch.ones(2)).key() for number in (1.0, 2.0, 1.0)]
    assert keys[0] == keys[2] != keys[1]


class Foreign(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.compiler.allow_in_graph(_script)(x)


def _script(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def test_a_function_of_the_script_in_the_graph_has_no_key() -> None:
    with pytest.raises(Unkeyed, match="_script"):
        graph_of(Foreign().eval(), torch.ones(2)).key()


IN_ANOTHER_PROCESS = """
import torch
from tests import tiny_models
from tests.capture.tracing import graph_of
print(graph_of(tiny_models.autoencoder().decoder, torch.zeros(1, 4, 4, 4)).key())
"""


def test_two_processes_with_two_hash_seeds_have_one_key() -> None:
    keys = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        keys.add(done.stdout.split()[-1])
    assert len(keys) == 1


class Calling:
    """A model's graphs answered by the replay engine, through `GraphCall`."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.traced = Traced(module)
        self.traced._model._backend = self._answer  # type: ignore[assignment]

    def __call__(self, *args: torch.Tensor) -> object:
        return self.traced(*args)

    def _answer(self, module: torch.fx.GraphModule, inputs: object) -> GraphCall:
        self.traced._backend(module, inputs)
        graph = self.traced.graphs[-1]
        captured = graph.export()
        live = [inputs[place] for place in graph.weights]  # type: ignore[index]
        keys = [value.key for value in captured.graph.weights]
        weights = dict(zip(keys, live, strict=True))
        program = ReplayEngine().build(captured.graph, weights, captured.constants)
        return GraphCall(graph, captured, program, live)


class Views(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x + 1
        return x, x[:, 1:], x.transpose(0, 1), y, y[0], y.view(-1)


def test_results_share_memory_as_under_eager_torch() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    x[:] = x  # a version that is not zero
    same, cut, turned, y, row, flat = Calling(Views().eval())(x)  # type: ignore[misc]
    expected = Views()(x)
    for got, wanted in zip((same, cut, turned, y, row, flat), expected, strict=True):
        assert torch.equal(got, wanted) and got.stride() == wanted.stride()
    assert same is x
    x.mul_(2)
    assert torch.equal(cut, x[:, 1:]) and torch.equal(turned, x.T)
    y.zero_()
    assert not row.any() and not flat.any()


class Writing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor, noted: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        noted.mul_(0).add_(self.calls)
        return x * self.calls


def test_what_a_call_changes_in_place_is_changed() -> None:
    module = Writing().eval()
    call, noted = Calling(module), torch.ones(2)
    results = [call(torch.ones(2), noted) for _ in range(3)]
    assert [r.tolist() for r in results] == [[1, 1], [2, 2], [3, 3]]  # type: ignore[attr-defined]
    assert noted.tolist() == [3, 3] and module.calls == 3


class Channels(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1).contiguous(memory_format=torch.channels_last)


def test_results_have_the_strides_of_eager_torch() -> None:
    x = torch.randn(1, 4, 3, 3)
    result = Calling(Channels().eval())(x)
    assert result.stride() == Channels()(x).stride()  # type: ignore[attr-defined]
