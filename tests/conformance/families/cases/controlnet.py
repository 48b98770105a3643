"""Pictures that lead the drawing: ControlNet, several of them, and T2I adapters."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    StableDiffusionAdapterPipeline,
)

from tests.conformance.families.cases.pipelines import HALF
from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case
from tests.conformance.families.models.extra_conditions import controlnet, t2i_adapter
from tests.conformance.families.pictures import depth, edges, mask, photograph


@case("sd15 sdxl", "ControlNet", "Adapters", also="controlnet")
def controlnet_one(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet(pipe, 1))
    call |= {"image": edges(), "output_type": "np"}
    return [
        pipe(**call, generator=seed(), **changes).images
        for changes in ({}, {"controlnet_conditioning_scale": 0.3})
    ]


@case("sd15", "ControlNets, several at once", "Adapters", also="controlnet controlnet")
def controlnet_several(pipe: Any, call: dict[str, Any]) -> Any:
    both = [controlnet(pipe, 1), controlnet(pipe, 2)]
    pipe = AutoPipelineForText2Image.from_pipe(pipe, controlnet=both)
    return pipe(
        **call,
        image=[edges(), depth()],
        controlnet_conditioning_scale=[0.7, 0.4],
        generator=seed(),
        output_type="np",
    ).images


@case("sd15", "ControlNet, image to image", "Adapters", also="controlnet vae")
def controlnet_image_to_image(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = AutoPipelineForImage2Image.from_pipe(pipe, controlnet=controlnet(pipe, 1))
    return pipe(
        **{**call, **HALF},
        image=photograph(),
        control_image=edges(),
        generator=seed(),
        output_type="np",
    ).images


@case("sd15", "ControlNet, inpainting", "Adapters", also="controlnet vae")
def controlnet_inpaint(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = AutoPipelineForInpainting.from_pipe(pipe, controlnet=controlnet(pipe, 1))
    return pipe(
        **{**call, **HALF},
        image=photograph(),
        mask_image=mask(),
        control_image=edges(),
        generator=seed(),
        output_type="np",
    ).images


@case("sd15", "T2I-Adapter", "Adapters", also="controlnet")
def t2i(pipe: Any, call: dict[str, Any]) -> Any:
    pipe = StableDiffusionAdapterPipeline.from_pipe(pipe, adapter=t2i_adapter(pipe))
    return pipe(**call, image=depth(), generator=seed(), output_type="np").images
