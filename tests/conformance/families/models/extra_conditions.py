"""Models that stand beside a pipeline's own: ControlNets, T2I adapters, image encoders, TAESD, …

Each is made to fit the pipeline that it is given, so one function serves every family.
"""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    StableDiffusionPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from tests.conformance.families.models.weights import filled

#: Of the ViT-L/14 that Stable Diffusion's checkers and adapters come with, but tiny.
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "image_size": 28,
    "patch_size": 14,
    "projection_dim": 16,
}


def controlnet(pipe: Any, seed: int) -> ControlNetModel:
    """The copy of a UNet's way down; its zero convolutions get values."""
    model = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=(8, 16, 16, 32), load_weights_from_unet=False
    )
    return filled(model, seed)


def t2i_adapter(pipe: Any) -> T2IAdapter:
    return filled(
        T2IAdapter(
            channels=list(pipe.unet.config.block_out_channels),
            num_res_blocks=1,
            downscale_factor=8,
            adapter_type="full_adapter",
        )
    )


def inpainting_unet(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Nine channels: the latents, the mask, and the latents of the masked picture."""
    return filled(UNet2DConditionModel.from_config({**unet.config, "in_channels": 9}))


def image_encoder() -> CLIPVisionModelWithProjection:
    return filled(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)))


def image_processor() -> CLIPImageProcessor:
    side = VISION["image_size"]
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side)


def safety_checker() -> StableDiffusionSafetyChecker:
    config = CLIPConfig(
        text_config={"num_hidden_layers": 0}, vision_config=VISION, projection_dim=16
    )
    checker = filled(StableDiffusionSafetyChecker(config))
    # Far above any cosine: it looks at the pictures and lets them pass.
    checker.concept_embeds_weights.data.fill_(2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker


def autoencoder_tiny(latent_channels: int) -> AutoencoderTiny:
    """TAESD, which stands in for an autoencoder of the same latents."""
    return filled(
        AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            num_encoder_blocks=(1, 2, 1, 1),
            num_decoder_blocks=(1, 1, 2, 1),
            latent_channels=latent_channels,
        )
    )


def with_safety_checker(pipe: Any) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        **{
            **pipe.components,
            "safety_checker": safety_checker(),
            "feature_extractor": image_processor(),
        }
    )
