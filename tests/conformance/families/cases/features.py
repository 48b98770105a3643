"""What a script can ask of a call: callbacks, embeddings, outputs, guidance, sizes, processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPAGPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    SlicedAttnProcessor,
)
from diffusers.pipelines.deprecated import StableDiffusionSAGPipeline

from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case
from tests.conformance.families.models.stable_diffusion import sd15

Call = dict[str, Any]
CALLS, GUIDANCE, SIZES, MODELS = "Calls", "Guidance", "Sizes and batches", "Inside the models"


def images(pipe: Any, call: Call, **more: Any) -> np.ndarray:
    return pipe(**{**call, "generator": seed(), "output_type": "np", **more}).images


@case("sd15", "callback that changes the latents", CALLS)
def callback(pipe: Any, call: Call) -> Any:
    def calmer(pipe: Any, step: int, timestep: int, held: dict[str, Any]) -> dict[str, Any]:
        return {"latents": held["latents"] * 0.9}

    return images(pipe, call, callback_on_step_end=calmer)


@case("sd15", "callback that switches guidance off", CALLS)
def callback_guidance(pipe: Any, call: Call) -> Any:
    def unguided(pipe: Any, step: int, timestep: int, held: dict[str, Any]) -> dict[str, Any]:
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": held["prompt_embeds"][-1:]}

    return images(
        pipe,
        call,
        callback_on_step_end=unguided,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )


@case("sd15", "interrupted by a callback", CALLS)
def interrupt(pipe: Any, call: Call) -> Any:
    def enough(pipe: Any, step: int, timestep: int, held: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    return images(pipe, call, callback_on_step_end=enough)


@case("sd15", "prompt embeddings", CALLS)
def prompt_embeds(pipe: Any, call: Call) -> Any:
    prompt = call.pop("prompt")
    wanted, unwanted = pipe.encode_prompt(prompt, "cpu", 1, True, "a photo")
    return images(pipe, call, prompt_embeds=wanted, negative_prompt_embeds=unwanted)


@case("sdxl", "prompt embeddings", CALLS)
def pooled_prompt_embeds(pipe: Any, call: Call) -> Any:
    prompt = call.pop("prompt")
    wanted, unwanted, pooled, unpooled = pipe.encode_prompt(prompt, negative_prompt="a photo")
    return images(
        pipe,
        call,
        prompt_embeds=wanted,
        negative_prompt_embeds=unwanted,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=unpooled,
    )


@case("sd15", "negative prompt", CALLS)
def negative_prompt(pipe: Any, call: Call) -> Any:
    return images(pipe, call, negative_prompt="a photo")


@case("sdxl", "clip-skip", CALLS)  # that of Stable Diffusion 1.5 asks for what transformers 5 lacks
def clip_skip(pipe: Any, call: Call) -> Any:
    return images(pipe, call, clip_skip=1)


@case("sd15", "output latent, pt, np, pil", CALLS)
def output_types(pipe: Any, call: Call) -> Any:
    return [images(pipe, call, output_type=kind) for kind in ("latent", "pt", "np", "pil")]


@case("sd15", "given latents", CALLS)
def latents(pipe: Any, call: Call) -> Any:
    return images(pipe, call, latents=torch.randn(1, 4, 8, 8, generator=seed()))


@case("sd15", "eta", CALLS)
def eta(pipe: Any, call: Call) -> Any:
    return images(pipe, call, eta=0.7)


@case("sd15", "custom timesteps", CALLS)
def timesteps(pipe: Any, call: Call) -> Any:
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    return images(pipe, call, timesteps=[800, 300])


@case("sd15", "custom sigmas", CALLS)
def sigmas(pipe: Any, call: Call) -> Any:
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    return images(pipe, call, sigmas=[9.0, 1.5])


@case("sd15", "guidance 0, 1 and 3", GUIDANCE)
def guidance_scale(pipe: Any, call: Call) -> Any:
    return [images(pipe, call, guidance_scale=scale) for scale in (0.0, 1.0, 3.0)]


@case("sd15", "guidance rescale", GUIDANCE)
def guidance_rescale(pipe: Any, call: Call) -> Any:
    return images(pipe, call, guidance_rescale=0.7)


def pag_pipeline() -> StableDiffusionPAGPipeline:
    """Of the same parts; in a call its processors stand on the layers that are named here."""
    return StableDiffusionPAGPipeline(**sd15().components, pag_applied_layers=["mid"])


@case("sd15", "perturbed attention guidance (PAG)", GUIDANCE, build=pag_pipeline)
def perturbed_attention_guidance(pipe: Any, call: Call) -> Any:
    return [
        images(pipe, call, pag_scale=3.0),
        images(pipe, call, pag_scale=3.0, guidance_scale=0.0),
        images(pipe, call, pag_scale=0.0),
    ]


def sag_pipeline() -> StableDiffusionSAGPipeline:
    return StableDiffusionSAGPipeline(**sd15().components, requires_safety_checker=False)


@case("sd15", "self-attention guidance (SAG)", GUIDANCE, build=sag_pipeline)
def self_attention_guidance(pipe: Any, call: Call) -> Any:
    return [images(pipe, call, sag_scale=0.75), images(pipe, call, sag_scale=0.0)]


@case("sd15", "two sizes in turn", SIZES)
def sizes(pipe: Any, call: Call) -> Any:
    return [images(pipe, call, width=width, height=64) for width in (64, 96, 64)]


@case("sd15", "batches of several sizes", SIZES)
def batches(pipe: Any, call: Call) -> Any:
    prompt = call.pop("prompt")
    return [
        images(pipe, call, prompt=prompt),
        images(pipe, call, prompt=[prompt, "a green square"]),
        images(pipe, call, prompt=prompt, num_images_per_prompt=2),
        images(
            pipe, call, prompt=[prompt] * 2, generator=[seed(), torch.Generator().manual_seed(1)]
        ),
        images(pipe, call, prompt=prompt),
    ]


@case("sd15", "fused QKV projections, on and off", MODELS)
def fused_qkv(pipe: Any, call: Call) -> Any:
    pipe.fuse_qkv_projections()
    fused = images(pipe, call)
    pipe.unfuse_qkv_projections()
    return [fused, images(pipe, call)]


@case("sd15", "attention processors", MODELS)
def attention_processors(pipe: Any, call: Call) -> Any:
    drawn = []
    for processor in (AttnProcessor(), SlicedAttnProcessor(2), AttnProcessor2_0()):
        pipe.unet.set_attn_processor(processor)
        drawn.append(images(pipe, call))
    return drawn


@case("sd15", "FreeU, on and off", MODELS)
def freeu(pipe: Any, call: Call) -> Any:
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    filtered = images(pipe, call)
    pipe.disable_freeu()
    return [filtered, images(pipe, call)]


@case("sdxl", "sizes and crops as conditions", CALLS)
def micro_conditions(pipe: Any, call: Call) -> Any:
    return images(
        pipe,
        call,
        original_size=(96, 96),
        crops_coords_top_left=(8, 0),
        target_size=(64, 64),
        negative_original_size=(32, 32),
    )


@case("sdxl", "base and refiner share the steps", "Pipelines")
def base_and_refiner(pipe: Any, call: Call) -> Any:
    """The refiner stands on the base's own parts here; what is divided are the steps."""
    refiner = StableDiffusionXLImg2ImgPipeline(**pipe.components)
    refiner.set_progress_bar_config(disable=True)
    call["num_inference_steps"] = 4
    half = images(pipe, call, denoising_end=0.5, output_type="latent")
    return [half, images(refiner, call, image=half, denoising_start=0.5)]
