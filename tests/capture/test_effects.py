"""A call that leaves something behind in the model is refused, and the model is as it was."""

from __future__ import annotations

import functools

import pytest
import torch

from sdbackends.capture.export import capture
from sdbackends.errors import CaptureError


class Keeper:
    """As an attention processor that stores its map."""

    def __init__(self) -> None:
        self.kept = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x.softmax(-1)
        return self.kept


class WithProcessor(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.processor = Keeper()

    def forward(self, x):
        return self.processor(x)


class Remembering(torch.nn.Module):
    """Shapes in a list, a number of calls, a name that was not there before."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = [(1, 2)]
        self.calls = 0

    def forward(self, x):
        self.shapes.append(x.shape)
        self.calls += 1
        self.rows = len(x)
        return x + 1


@functools.lru_cache
def angles(size: int) -> torch.Tensor:
    return torch.arange(size) / size


class Cached(torch.nn.Module):
    """Rotary embeddings as some transformers make them: once for each size."""

    @functools.lru_cache  # noqa: B019  (as models are written)
    def scales(self, size: int) -> torch.Tensor:
        return torch.full((size,), 2.0)

    @staticmethod
    @functools.cache
    def shifts(size: int) -> torch.Tensor:
        return torch.ones(size)

    def forward(self, x):
        size = x.shape[-1]
        return x * self.scales(size) + self.shifts(size) + angles(size)


def test_cached_functions_keep_nothing_of_a_capture() -> None:
    module, x = Cached().eval(), torch.ones(1, 4)
    captured = capture(module, (x,))
    assert not captured.constants
    expected = torch.tensor([[3.0, 3.25, 3.5, 3.75]])
    assert torch.equal(module(x), expected)
    hits = angles.cache_info().hits
    again = capture(module, (x,))  # what eager computed may be taken as it is
    assert angles.cache_info().hits > hits and again.constants
    assert torch.equal(module(x), expected)


class Plain(torch.nn.Module):
    """What it writes is what stood there."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)
        self.size = (3, 3)

    def forward(self, x):
        self.size = (3, x.shape[-1])
        return self.linear(x)


def refusal(module: torch.nn.Module) -> str:
    with pytest.raises(CaptureError) as caught:
        capture(module, (torch.ones(2, 3),))
    return str(caught.value)


def test_what_an_object_of_the_model_keeps() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), WithProcessor())
    assert "1.processor.kept" in refusal(model)
    assert model[1].processor.kept is None


def test_what_the_model_keeps_itself() -> None:
    model = Remembering()
    words = refusal(model)
    assert all(name in words for name in ("shapes", "calls", "rows"))
    assert (model.shapes, model.calls) == ([(1, 2)], 0)
    assert not hasattr(model, "rows")


def test_what_a_hook_keeps_in_its_surroundings() -> None:
    seen = None

    def note(module, args, output) -> None:
        nonlocal seen
        seen = output.shape

    model = torch.nn.Sequential(torch.nn.Linear(3, 3))
    model[0].register_forward_hook(note)
    assert "note" in refusal(model)
    assert seen is None


def test_nothing_is_said_of_what_is_as_it_was() -> None:
    assert capture(Plain().requires_grad_(False), (torch.ones(2, 3),)).graph.nodes


def test_hooks_that_transformers_lays_once_may_stay() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=2
    )
    model = transformers.CLIPTextModel(config).eval()
    tokens = torch.ones(1, 5, dtype=torch.int64)
    capture(model, (tokens,), {"output_hidden_states": True})
    assert len(model(tokens, output_hidden_states=True).hidden_states) == 3
