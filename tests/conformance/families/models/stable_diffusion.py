"""Stable Diffusion 1.x and 2.1: a text encoder, a UNet with cross attention, a KL autoencoder.

Three levels instead of four: the second is there so that a level with attention is also followed
by one with attention, and each kind of block stands where the real UNet has it.
"""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

from tests.conformance.families.catalog import family
from tests.conformance.families.models.text import clip_text, tokenizer
from tests.conformance.families.models.weights import filled

PROMPT = "a big red circle on a blue background"

_TRAINING = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def unet(**changes: Any) -> UNet2DConditionModel:
    config: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2,
        "cross_attention_dim": 32,
        # Eight heads at every level in the real one, whatever diffusers calls it.
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    return filled(UNet2DConditionModel(**{**config, **changes}))


def autoencoder(**changes: Any) -> AutoencoderKL:
    config: dict[str, Any] = {
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 64,
    }
    return filled(AutoencoderKL(**{**config, **changes}))


def scheduler(**changes: Any) -> DDIMScheduler:
    return DDIMScheduler(**{**_TRAINING, "clip_sample": False, **changes})


def published_scheduler() -> PNDMScheduler:
    """What the 1.x models come with."""
    return PNDMScheduler(**_TRAINING, skip_prk_steps=True)


def stable_diffusion(**changes: Any) -> StableDiffusionPipeline:
    """The pipeline of 1.x, with other parts where they are given."""
    makers: dict[str, Any] = {
        "vae": autoencoder,
        "text_encoder": clip_text,
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": published_scheduler,
    }
    parts = {name: changes.get(name) or make() for name, make in makers.items()}
    return StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


@family("sd15", "Stable Diffusion 1.4/1.5", prompt=PROMPT, num_inference_steps=2)
def sd15() -> StableDiffusionPipeline:
    return stable_diffusion()


@family("sd21", "Stable Diffusion 2.1", prompt=PROMPT, num_inference_steps=2)
def sd21() -> StableDiffusionPipeline:
    """v-prediction; OpenCLIP's text encoder without its last layer; heads of one width."""
    return stable_diffusion(
        text_encoder=clip_text(hidden_act="gelu", num_hidden_layers=2),
        tokenizer=tokenizer(pad_token="!"),
        unet=unet(attention_head_dim=(2, 2, 4), use_linear_projection=True, upcast_attention=True),
        scheduler=scheduler(prediction_type="v_prediction"),
    )
