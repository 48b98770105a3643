"""What `torch.compile(model)` returns behaves as torch's own, and calls the model."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.eval_frame import OptimizedModule

from sdbackends.runtime.compiled_module import as_compiled


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.scale = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.scale


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model().eval()


def test_it_is_what_torch_compile_returns(model: Model) -> None:
    ours, torchs = as_compiled(model), torch.compile(model)
    assert isinstance(ours, OptimizedModule) and type(ours) is type(torchs)
    assert ours._orig_mod is model
    assert list(ours.state_dict()) == list(torchs.state_dict())
    assert next(iter(ours.state_dict())) == "_orig_mod.linear.weight"
    assert [name for name, _ in ours.named_parameters()] == [
        n for n, _ in torchs.named_parameters()
    ]
    assert repr(ours) == repr(torchs) and set(dir(torchs)) <= set(dir(ours))


def test_attributes_go_through(model: Model) -> None:
    ours = as_compiled(model)
    ours.scale = 3.0
    assert model.scale == ours.scale == 3.0
    assert ours.linear is model.linear and not ours.training
    assert ours.train() is ours and model.training
    del ours.scale
    assert not hasattr(model, "scale")


def test_a_call_calls_the_model(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, x = as_compiled(model, mode="max-autotune", fullgraph=True), torch.ones(1, 2)
    assert torch.equal(ours(x), model(x)) and torch.equal(ours.forward(x), model(x))
    # As a session lays and takes off its route.
    monkeypatch.setattr(Model, "__call__", lambda self, x: "routed", raising=False)
    assert ours(x) == ours.forward(x) == copy.deepcopy(ours)(x) == "routed"
    monkeypatch.undo()
    assert torch.equal(ours(x), model(x))


def test_moves_and_copies(model: Model) -> None:
    ours, x = as_compiled(model), torch.ones(1, 2)
    assert ours.to(torch.float64) is ours and model.linear.weight.dtype is torch.float64
    ours.float()
    twin = copy.deepcopy(ours)
    assert isinstance(twin, OptimizedModule) and twin._orig_mod is not model
    assert torch.equal(twin(x), ours(x))
    twin.load_state_dict(ours.state_dict())


def test_a_pickle_names_nothing_of_sdbackends(model: Model) -> None:
    ours = as_compiled(model)
    data = pickle.dumps(ours)
    assert b"sdbackends" not in data
    assert torch.equal(pickle.loads(data)(torch.ones(1, 2)), ours(torch.ones(1, 2)))
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    assert isinstance(torch.load(file, weights_only=False), OptimizedModule)


def test_hooks_and_gradients(model: Model) -> None:
    ours, seen = as_compiled(model), []
    ours.register_forward_hook(lambda *_: seen.append("outer"))
    model.register_forward_hook(lambda *_: seen.append("inner"))
    ours(torch.ones(1, 2)).sum().backward()
    assert seen == ["inner", "outer"] and model.linear.weight.grad is not None


def test_once_is_enough(model: Model) -> None:
    ours = as_compiled(model)
    assert as_compiled(ours) is ours


def test_it_may_stand_inside_what_the_script_compiles(model: Model) -> None:
    ours = as_compiled(model)
    compiled = torch.compile(lambda x: ours(x) + 1, backend="eager")
    assert torch.equal(compiled(torch.ones(1, 2)), model(torch.ones(1, 2)) + 1)


def test_a_pipeline_takes_it(tiny_pipe_folder: Path, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    pipe.set_progress_bar_config(disable=True)

    def draw() -> Any:
        generator = torch.Generator().manual_seed(0)
        return pipe("ab", num_inference_steps=1, generator=generator, output_type="pt").images

    expected = draw()
    pipe.unet = as_compiled(pipe.unet)
    pipe.vae.decoder = as_compiled(pipe.vae.decoder)
    assert diffusers.utils.torch_utils.is_compiled_module(pipe.unet)
    assert torch.equal(draw(), expected)
    pipe.save_pretrained(tmp_path)
    again = diffusers.UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert list(again.state_dict()) == list(pipe.unet._orig_mod.state_dict())
