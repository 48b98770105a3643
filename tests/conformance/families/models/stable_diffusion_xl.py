"""Stable Diffusion XL and its kin: two text encoders, sizes and pooled text beside the time."""

from __future__ import annotations

from typing import Any

from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from tests.conformance.families.catalog import family
from tests.conformance.families.models.stable_diffusion import PROMPT, autoencoder, unet
from tests.conformance.families.models.text import (
    bilingual_tokenizer,
    clip_text,
    clip_text_with_projection,
    tokenizer,
)

PARTS = "text_encoder text_encoder unet vae"

_TRAINING = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def xl_unet(**changes: Any) -> UNet2DConditionModel:
    """No attention at the first level, deeper at the last; heads of one width."""
    config: dict[str, Any] = {
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
        "transformer_layers_per_block": (1, 1, 2),
        "attention_head_dim": (2, 2, 4),
        "use_linear_projection": True,
        "cross_attention_dim": 32 + 32,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
    }
    return unet(**{**config, **changes})


def xl(**changes: Any) -> StableDiffusionXLPipeline:
    """The pipeline of the base model, with other parts where they are given."""
    makers: dict[str, Any] = {
        "vae": lambda: autoencoder(scaling_factor=0.13025),
        "text_encoder": clip_text,
        "text_encoder_2": clip_text_with_projection,
        "tokenizer": tokenizer,
        "tokenizer_2": lambda: tokenizer(pad_token="!"),
        "unet": xl_unet,
        "scheduler": lambda: EulerDiscreteScheduler(**_TRAINING, timestep_spacing="leading"),
    }
    parts = {name: changes.get(name) or make() for name, make in makers.items()}
    return StableDiffusionXLPipeline(
        **parts, force_zeros_for_empty_prompt=True, add_watermarker=False
    )


@family("sdxl", "Stable Diffusion XL", parts=PARTS, prompt=PROMPT, num_inference_steps=2)
def sdxl() -> StableDiffusionXLPipeline:
    return xl()


@family(
    "sdxl_turbo",
    "SDXL-Turbo",
    parts=PARTS,
    prompt=PROMPT,
    num_inference_steps=1,
    guidance_scale=0.0,
)
def sdxl_turbo() -> StableDiffusionXLPipeline:
    """One step from the last time of training, and nothing guided."""
    return xl(scheduler=EulerAncestralDiscreteScheduler(**_TRAINING, timestep_spacing="trailing"))


@family("ssd1b", "SSD-1B", parts=PARTS, prompt=PROMPT, num_inference_steps=2)
def ssd1b() -> StableDiffusionXLPipeline:
    """Distilled: as many transformers as were left, other ones up than down, none in the middle."""
    return xl(
        unet=xl_unet(
            layers_per_block=2,
            mid_block_type="UNetMidBlock2D",
            transformer_layers_per_block=[[0, 0], [1, 1], [1, 1]],
            reverse_transformer_layers_per_block=[[1, 1, 2], [2, 1, 1], 1],
        )
    )


@family(
    "taiyi_xl",
    "Taiyi-XL",
    parts=PARTS,
    prompt="蓝色背景上的红色大圆形, a circle",
    num_inference_steps=2,
)
def taiyi_xl() -> StableDiffusionXLPipeline:
    """Both encoders know more words (Chinese ones) and more positions: 512."""
    words = {"vocab_size": len(bilingual_tokenizer()), "max_position_embeddings": 512}
    return xl(
        text_encoder=clip_text(**words),
        text_encoder_2=clip_text_with_projection(**words),
        tokenizer=bilingual_tokenizer(),
        tokenizer_2=bilingual_tokenizer(),
    )
