"""The two upscalers of Stable Diffusion: latents twice as large, and pictures four times."""

from __future__ import annotations

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline,
)

from tests.conformance.families.models.stable_diffusion import autoencoder, scheduler, unet
from tests.conformance.families.models.text import clip_text, tokenizer


def latent_upscaler() -> StableDiffusionLatentUpscalePipeline:
    """Of stabilityai/sd-x2-latent-upscaler: K blocks, Fourier time embedding, no middle block."""
    text_encoder = clip_text()
    return StableDiffusionLatentUpscalePipeline(
        vae=autoencoder(),
        text_encoder=text_encoder,
        tokenizer=tokenizer(),
        unet=unet(
            sample_size=16,
            in_channels=8,
            out_channels=5,
            block_out_channels=(32, 64, 64),  # their normalisation takes groups of 32
            layers_per_block=(1, 2, 1),
            down_block_types=("KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"),
            up_block_types=("KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"),
            mid_block_type=None,
            act_fn="gelu",
            attention_head_dim=8,
            conv_in_kernel=1,
            conv_out_kernel=1,
            resnet_time_scale_shift="scale_shift",
            time_embedding_type="fourier",
            timestep_post_act="gelu",
            # The pooled text beside 128 numbers that stand for the noise level.
            time_cond_proj_dim=text_encoder.config.hidden_size + 128,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="sample",
        ),
    )


def upscaler() -> StableDiffusionUpscalePipeline:
    """Of stabilityai/stable-diffusion-x4-upscaler: the noise level as a class, 4x autoencoder."""
    return StableDiffusionUpscalePipeline(
        vae=autoencoder(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            scaling_factor=0.08333,
        ),
        text_encoder=clip_text(),
        tokenizer=tokenizer(),
        unet=unet(
            sample_size=16,
            in_channels=7,
            block_out_channels=(16, 32, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            only_cross_attention=(True, True, False),
            use_linear_projection=True,
            num_class_embeds=1000,
        ),
        low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear", beta_start=1e-4),
        scheduler=DDIMScheduler.from_config(scheduler().config, prediction_type="v_prediction"),
        max_noise_level=350,
    )
