"""Pipelines whose denoiser is a transformer: PixArt-alpha, Stable Diffusion 3, Flux."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)

from tests.conformance.families.catalog import family
from tests.conformance.families.models.stable_diffusion import PROMPT, autoencoder
from tests.conformance.families.models.text import (
    clip_text,
    clip_text_with_projection,
    t5,
    t5_tokenizer,
    tokenizer,
)
from tests.conformance.families.models.weights import filled


@family(
    "pixart",
    "PixArt-alpha",
    parts="text_encoder transformer vae",
    prompt=PROMPT,
    num_inference_steps=2,
    height=64,
    width=64,
    # It would draw the nearest of the sizes around 1024 and crop.
    use_resolution_binning=False,
    clean_caption=False,
)
def pixart() -> PixArtAlphaPipeline:
    """The 1024 model: a sample size of 128 brings the size and the ratio in as conditions."""
    return PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(),
        vae=autoencoder(),
        transformer=filled(
            PixArtTransformer2DModel(
                num_attention_heads=2,
                attention_head_dim=24,
                num_layers=2,
                cross_attention_dim=48,
                caption_channels=64,
                in_channels=4,
                out_channels=8,
                sample_size=128,
            )
        ),
        scheduler=DPMSolverMultistepScheduler(
            beta_start=0.0001, beta_end=0.02, beta_schedule="linear"
        ),
    )


def wide_autoencoder(**changes: Any) -> AutoencoderKL:
    """16 latent channels, shifted, without the convolutions around the latents."""
    return autoencoder(
        latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, **changes
    )


@family(
    "sd3",
    "Stable Diffusion 3",
    parts="text_encoder text_encoder text_encoder transformer vae",
    prompt=PROMPT,
    num_inference_steps=2,
)
def sd3() -> StableDiffusion3Pipeline:
    """Two layers: the last one has no text to go on with."""
    return StableDiffusion3Pipeline(
        transformer=filled(
            SD3Transformer2DModel(
                sample_size=8,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=16,
                joint_attention_dim=64,
                caption_projection_dim=32,
                pooled_projection_dim=32 + 32,
                pos_embed_max_size=24,
            )
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=wide_autoencoder(scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip_text_with_projection(hidden_act="quick_gelu"),
        tokenizer=tokenizer(),
        text_encoder_2=clip_text_with_projection(),
        tokenizer_2=tokenizer(pad_token="!"),
        text_encoder_3=t5(),
        tokenizer_3=t5_tokenizer(),
    )


@family(
    "flux",
    "Flux",
    parts="text_encoder text_encoder transformer vae",
    prompt=PROMPT,
    num_inference_steps=2,
    height=64,
    width=64,
    # 3.5, the default, is 3500 inside: no number of bf16, and rounding it turns the condition.
    guidance_scale=4.0,
)
def flux() -> FluxPipeline:
    """Flux dev: rotary positions, guidance as a condition, double and single streams."""
    return FluxPipeline(
        transformer=filled(
            FluxTransformer2DModel(
                in_channels=64,
                num_layers=1,
                num_single_layers=2,
                num_attention_heads=2,
                attention_head_dim=16,
                joint_attention_dim=64,
                pooled_projection_dim=32,
                guidance_embeds=True,
                axes_dims_rope=(4, 6, 6),
            )
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=4096,
        ),
        vae=wide_autoencoder(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
    )
