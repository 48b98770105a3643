"""Whatever a script changes between two calls, the next picture shows it.

Each test changes something (weights, adapters, flags, sizes) under an engine and compares with
plain torch after the same change. An engine that missed the change would give the old picture.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

import sdbackends
from tests import tiny_models

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def new_pipe(tiny_pipe_folder):
    def load():
        # One block up and down: each adapter state is a capture of its own, which costs time.
        unet = tiny_models.unet(
            sample_size=16,
            block_out_channels=(8,),
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
        )
        pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder, unet=unet)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return load


@pytest.fixture
def pipe(new_pipe):
    return new_pipe()


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def picture(pipe, size=32, batch=1, **changes):
    call = {"prompt": ["a red circle"] * batch, "num_inference_steps": 2, **changes}
    return pipe(
        **call,
        height=size,
        width=size,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images


def lora(pipe, folder, seed=0):
    """A LoRA of the UNet and the text encoder with weights that are not zero, saved as a file."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    layers = {}
    for name, targets in (("unet", ["to_q", "to_v"]), ("text_encoder", ["q_proj", "v_proj"])):
        model = getattr(pipe, name)
        model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
        layers[f"{name}_lora_layers"] = get_peft_model_state_dict(model)
        model.delete_adapters("default") if name == "unet" else model.delete_adapter("default")
    StableDiffusionPipeline.save_lora_weights(folder, **layers)
    return folder


def test_sizes_and_batches_and_back(graph_engine, pipe):
    calls = [{}, {"size": 48, "batch": 2}, {}, {"size": 48, "batch": 2}]
    expected = [picture(pipe, **call) for call in calls]
    with sdbackends.use(graph_engine, fallback="error"):
        for call, reference in zip(calls, expected, strict=True):
            np.testing.assert_allclose(picture(pipe, **call), reference, atol=1e-4)


def test_lora_load_scale_and_unload(graph_engine, new_pipe, tmp_path):
    folder = lora(new_pipe(), tmp_path)

    def story():
        pipe = new_pipe()  # diffusers remembers scales after an unload
        yield picture(pipe)
        pipe.load_lora_weights(folder, adapter_name="one")
        yield picture(pipe)
        pipe.set_adapters(["one"], [0.3])
        yield picture(pipe)
        yield picture(pipe, cross_attention_kwargs={"scale": 0.5})
        pipe.fuse_lora()
        yield picture(pipe)
        pipe.unfuse_lora()
        pipe.unload_lora_weights()
        yield picture(pipe)

    expected = list(story())
    assert np.abs(expected[0] - expected[1]).max() > 1e-3, "the adapter must be seen at all"
    assert np.abs(expected[1] - expected[2]).max() > 1e-3
    with sdbackends.use(graph_engine, fallback="error"):
        for result, reference in zip(story(), expected, strict=True):
            np.testing.assert_allclose(result, reference, atol=2e-4)


def test_tiling_and_slicing_switched_on_later(graph_engine):
    vae = tiny_models.autoencoder()
    latents = torch.randn(2, 4, 12, 24, generator=torch.Generator().manual_seed(0))

    def story():
        yield vae.decode(latents).sample
        vae.enable_tiling()
        yield vae.decode(latents).sample
        vae.disable_tiling()
        vae.enable_slicing()
        yield vae.decode(latents).sample
        vae.disable_slicing()
        yield vae.decode(latents).sample

    expected = list(story())
    assert (expected[0] - expected[1]).abs().max() > 1e-3, "tiles must be seen at all"
    with sdbackends.use(graph_engine, fallback="error"):
        for result, reference in zip(story(), expected, strict=True):
            torch.testing.assert_close(result, reference, **CLOSE)


EDITS = {
    "in place": lambda p: p.mul_(3),
    "through data": lambda p: p.data.mul_(3),
    "augmented data": lambda p: setattr(p, "data", p.data * 3),
    "copied": lambda p: p.copy_(torch.full_like(p, 0.1)),
    "from numpy": lambda p: p.numpy().__imul__(3),
}


def test_weights_edited_in_every_way(engine):
    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()
    targets = [
        clip.final_layer_norm.weight,
        clip.encoder.layers[0].mlp.fc1.weight,
        clip.embeddings.token_embedding.weight,
    ]
    with sdbackends.use(engine, fallback="error"):
        clip(ids)
        for name, edit in EDITS.items():
            for target in targets:
                edit(target)
            result = clip(ids).last_hidden_state
            with sdbackends.use("torch"):
                expected = clip(ids).last_hidden_state
            torch.testing.assert_close(result, expected, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


def test_convolutions_edited_in_every_way(graph_engine):
    """JAX lays their weights out anew, so an edit has to reach the other layout."""
    decoder = tiny_models.autoencoder().decoder
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with sdbackends.use(graph_engine, fallback="error"):
        decoder(latents)
        for name, edit in EDITS.items():
            edit(decoder.conv_out.weight)
            edit(decoder.conv_in.bias)
            result = decoder(latents)
            with sdbackends.use("torch"):
                expected = decoder(latents)
            # The edits make the results large.
            close = {"rtol": 1e-4, "atol": 1e-5 * float(expected.abs().max())}
            torch.testing.assert_close(result, expected, **close, msg=lambda m, n=name: f"{n}: {m}")


def test_an_adapter_of_the_text_encoder(engine):
    from peft import LoraConfig

    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()

    def story():
        yield clip(ids).last_hidden_state
        torch.manual_seed(0)
        clip.add_adapter(LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
        yield clip(ids).last_hidden_state
        clip.disable_adapters()
        yield clip(ids).last_hidden_state
        clip.enable_adapters()
        yield clip(ids).last_hidden_state
        clip.delete_adapter("default")

    expected = list(story())
    with sdbackends.use(engine, fallback="error"):
        for result, reference in zip(story(), expected, strict=True):
            torch.testing.assert_close(result, reference, **CLOSE)


def test_another_pipeline_over_the_same_models(graph_engine, pipe):
    """`from_pipe` and `components` share modules, and so programs."""
    from diffusers import StableDiffusionImg2ImgPipeline

    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def run():
        other = StableDiffusionImg2ImgPipeline(**pipe.components)
        other.set_progress_bar_config(disable=True)
        return other(
            "a circle",
            image=image,
            num_inference_steps=4,
            strength=0.5,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
        ).images

    expected = run()
    with sdbackends.use(graph_engine, fallback="error"):
        picture(pipe)
        np.testing.assert_allclose(run(), expected, atol=1e-4)
