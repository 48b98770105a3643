"""The observer in this process: what it writes, and that it leaves nothing behind."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from sdbackends import session
from sdbackends.matrix.measure import observe_sessions, record, turn_taking
from sdbackends.settings import BackendChoice, Settings

observe_sessions()


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Path]:
    """A folder into which this process is measured."""
    turn_taking.prepare(tmp_path, in_turn=False)
    with session.enable(Settings(BackendChoice("torch"), measure=tmp_path)):
        yield tmp_path


def draw(pipe: Any, **changes: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    words = {"num_inference_steps": 3, "output_type": "np", "generator": generator, **changes}
    return pipe("a", **words).images


def test_what_two_pictures_leave_behind(measured: Path, tiny_pipe_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    assert record.read(measured).phase == "loading"
    first, second = draw(pipe), draw(pipe)
    assert np.array_equal(first, second)
    found = record.read(measured)
    assert found.phase == "after picture 2" and found.failure is None
    assert found.importing is not None and found.loading is not None
    assert len(found.images) == 2 and found.builds == []
    for seconds, parts in zip(found.images, found.parts, strict=True):
        counts = {part: len(samples) for part, samples in parts.items()}
        assert counts == {"encode": 1, "step": 3, "decode": 1}
        assert sum(sum(samples) for samples in parts.values()) < seconds
    models = (pipe.unet, pipe.vae.decoder, pipe.text_encoder)
    held = sum(t.numel() * t.element_size() for m in models for t in m.state_dict().values())
    assert found.weights == pytest.approx(held, rel=0.01)  # position ids are in no state
    outputs = np.load(measured / record.PARTS_FILE)
    assert {name: array.shape for name, array in outputs.items()} == {
        "text_encoder": (1, 77, 16),
        "unet": (2, 4, 16, 16),
        "latents": (1, 4, 16, 16),
        "vae": (1, 3, 32, 32),
    }
    assert outputs["vae"].std() > 0


def test_flops_are_twice_as_many_for_two_pictures(measured: Path, tiny_pipe_folder: Path) -> None:
    one = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    draw(one)
    alone = record.read(measured).flops
    with session.enable(Settings(BackendChoice("torch"), measure=measured)):
        draw(StableDiffusionPipeline.from_pretrained(tiny_pipe_folder), num_images_per_prompt=2)
    both = record.read(measured).flops
    assert alone["step"] > 0 and both["step"] == 2 * alone["step"]
    assert both["decode"] == 2 * alone["decode"] and both["encode"] == alone["encode"]


def test_flops_are_not_counted_where_they_are_known(tmp_path: Path, tiny_pipe_folder: Path) -> None:
    turn_taking.prepare(tmp_path, in_turn=False, count=False)
    with session.enable(Settings(BackendChoice("torch"), measure=tmp_path)):
        draw(StableDiffusionPipeline.from_pretrained(tiny_pipe_folder))
    found = record.read(tmp_path)
    assert found.flops == {} and len(found.images) == 1 and found.weights


@pytest.mark.parametrize(("choice", "package"), [("jax", "jax"), ("text_encoder=compile", "torch")])
def test_the_capture_is_a_part_of_each_build(
    tmp_path: Path, tiny_pipe_folder: Path, choice: str, package: str
) -> None:
    pytest.importorskip(package)
    chosen = BackendChoice.parse(choice, where="here")
    with session.enable(Settings(chosen, measure=tmp_path, fallback="error")):
        draw(StableDiffusionPipeline.from_pretrained(tiny_pipe_folder))
    builds = [build for build in record.read(tmp_path).builds if build.seconds > 0.1]
    assert len(builds) == (3 if choice == "jax" else 1)
    assert all(0 < build.capture < build.seconds for build in builds)


def test_flops_of_whole_models_are_those_of_attention_in_single_products(
    tiny_pipe_folder: Path,
) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from sdbackends.matrix.measure.flops import CountedCall

    pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    latents, words = torch.zeros(2, 4, 16, 16), torch.zeros(2, 77, 16)
    for model, args in (
        (pipe.unet, (latents, torch.tensor(1), words)),
        (pipe.vae.decoder, (latents,)),
    ):
        # Torch's own table knows every one of them where attention is not one kernel.
        whole = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), whole:
            model(*args)
        assert CountedCall(model, args, {}).flops() == whole.get_total_flops()


def test_attention_is_counted() -> None:
    from sdbackends.matrix.measure.flops import CountedCall

    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    call = CountedCall(Attention(), (torch.zeros(2, 3, 5, 8),), {})
    assert call.flops() == 2 * 2 * 2 * 3 * 5 * 5 * 8


def test_a_failure_is_kept_and_raised(measured: Path, tiny_pipe_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    with pytest.raises(ValueError, match="tensor_inputs"):
        draw(pipe, callback_on_step_end_tensor_inputs=["x"])
    failure = record.read(measured).failure
    assert failure is not None and failure.kinds[0] == "ValueError"
    assert "tensor_inputs" in failure.text


def test_nothing_is_left_behind(tmp_path: Path, tiny_pipe_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    before = attributes()
    with session.enable(Settings(BackendChoice("torch"), measure=tmp_path)):
        StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
        inside = attributes()
    assert all(inside[name] is not kept for name, kept in before.items())
    assert attributes() == before
    draw(pipe)
    assert record.read(tmp_path).images == []


def test_without_the_variable_nothing_is_laid(tiny_pipe_folder: Path) -> None:
    before = attributes()
    with session.enable(Settings(BackendChoice("torch"))):
        StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
        assert vars(StableDiffusionPipeline)["__call__"] is before["pipeline"]


def attributes() -> dict[str, Any]:
    """Everything that the observer replaces."""
    module = importlib.import_module
    models = module("diffusers.models.modeling_utils").ModelMixin
    texts = module("transformers.modeling_utils").PreTrainedModel
    base = module("diffusers.pipelines.pipeline_utils").DiffusionPipeline
    decoder = module("diffusers.models.autoencoders.vae").Decoder
    return {
        "pipeline": vars(StableDiffusionPipeline)["__call__"],
        "from_pretrained": vars(base)["from_pretrained"],
        "register": vars(base)["register_modules"],
        "made": vars(models).get("__init__"),
        "called": vars(models).get("__call__"),
        "text made": vars(texts).get("__init__"),
        "text called": vars(texts).get("__call__"),
        "decoder called": vars(decoder).get("__call__"),
    }
