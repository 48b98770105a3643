"""Pictures from pictures: image to image, inpainting, upscaling; and what stands around a model.

What is drawn is what a user would call; `AutoPipeline` finds each family's own class.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case
from tests.conformance.families.models import extra_conditions, extra_upscalers
from tests.conformance.families.pictures import mask, photograph

#: Two of four steps, so that what was given shows through.
HALF = {"num_inference_steps": 4, "strength": 0.5}


@case("sd15 sdxl sd3 flux", "image to image", "Pipelines", also="vae")
def image_to_image(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = AutoPipelineForImage2Image.from_pipe(pipe)
    return pipe(**{**call, **HALF}, image=photograph(), generator=seed(), output_type="np").images


@case("sd15 sdxl", "inpainting", "Pipelines", also="vae")
def inpaint(pipe: Any, call: dict[str, Any]) -> Any:
    return _inpainted(pipe, call)


@case("sd15 sdxl", "inpainting (UNet of 9 channels)", "Pipelines", also="vae")
def inpaint_nine(pipe: Any, call: dict[str, Any]) -> Any:
    pipe.register_modules(unet=extra_conditions.inpainting_unet(pipe.unet))
    return _inpainted(pipe, call)


@case("sd15", "latent upscaling (x2)", "Pipelines", build=extra_upscalers.latent_upscaler)
def latent_upscale(pipe: Any, call: dict[str, Any]) -> Any:
    latents = 4 * torch.randn((1, 4, 8, 8), generator=seed())
    return pipe(**call, image=latents, generator=seed(), output_type="np").images


@case("sd15", "upscaling (x4)", "Pipelines", build=extra_upscalers.upscaler)
def upscale(pipe: Any, call: dict[str, Any]) -> Any:
    return pipe(**call, image=photograph(16), generator=seed(), output_type="np").images


@case("sd15", "safety checker", "Pipelines", also="image_encoder")
def safety_checker(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = extra_conditions.with_safety_checker(pipe)
    drawn = pipe(**call, generator=seed(), output_type="np")
    assert drawn.nsfw_content_detected == [False]
    return drawn.images


@case("sd15", "TAESD", "Pipelines", also="vae")
def taesd(pipe: Any, call: dict[str, Any]) -> Any:
    pipe.vae = extra_conditions.autoencoder_tiny(pipe.vae.config.latent_channels)
    drawn = pipe(**call, generator=seed(), output_type="np").images
    pipe = AutoPipelineForImage2Image.from_pipe(pipe)
    call = {**call, **HALF}
    return [drawn, pipe(**call, image=photograph(), generator=seed(), output_type="np").images]


def _inpainted(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = AutoPipelineForInpainting.from_pipe(pipe)
    return pipe(
        **{**call, **HALF},
        image=photograph(),
        mask_image=mask(),
        generator=seed(),
        output_type="np",
    ).images
