"""Stable Diffusion 1.x: CLIP text encoder, UNet with cross attention, KL autoencoder."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdbackends.resources import pipelines_dir
from tests.families.catalog import family
from tests.families.models.weights import filled

PROMPT = "a big red circle on a blue background"


def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(pipelines_dir() / "tiny" / "sd" / "tokenizer")


def clip_text(**changes: Any) -> CLIPTextModel:
    words = tokenizer()
    config = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    return filled(CLIPTextModel(CLIPTextConfig(**{**config, **changes})))


def unet(**changes: Any) -> UNet2DConditionModel:
    config: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
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
    config: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "clip_sample": False,
    }
    return DDIMScheduler(**{**config, **changes})


@family("sd15", "Stable Diffusion 1.4/1.5", prompt=PROMPT, num_inference_steps=2)
def sd15() -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        unet=unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
