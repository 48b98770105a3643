"""Pipelines of diffusers around the models: callbacks, shared parts, parts exchanged."""

from __future__ import annotations

import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)

from tests.scripts.models import E, attention, changed, unet, vae
from tests.scripts.registry import case

LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def pipeline(**parts):
    pipe = StableDiffusionPipeline(
        **{
            "vae": vae(),
            "unet": unet(),
            "text_encoder": None,
            "tokenizer": None,
            "scheduler": DDIMScheduler(),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
            **parts,
        }
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, **changes):
    call = {
        "prompt_embeds": E,
        "negative_prompt_embeds": -E,
        "num_inference_steps": 3,
        "guidance_scale": 5.0,
        "height": 8,
        "width": 8,
        "output_type": "pt",
        "generator": torch.Generator().manual_seed(0),
        **changes,
    }
    return pipe(**call).images


@case(compiled=True)
def pictures():
    pipe = pipeline()
    return changed(draw(pipe), draw(pipe, guidance_scale=1.0), draw(pipe, height=16))


@case
def callback_that_edits_latents():
    steps: list[int] = []

    def edit(pipe, step, timestep, tensors):
        steps.append(int(timestep))
        return {"latents": tensors["latents"] * 0.5}

    pipe = pipeline()
    return (*changed(draw(pipe), draw(pipe, callback_on_step_end=edit)), steps)


@case
def callback_that_edits_the_model():
    """The script switches something on after the first steps."""

    def edit(pipe, step, timestep, tensors):
        if step == 0:
            pipe.unet.conv_out.weight.data.mul_(5)
        return {}

    pipe = pipeline()
    return changed(draw(pipe), draw(pipe, callback_on_step_end=edit))


@case
def callback_that_stops():
    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = True
        return {}

    pipe = pipeline()
    return changed(draw(pipe), draw(pipe, callback_on_step_end=stop), draw(pipe))


@case
def callback_that_fails():
    def fail(pipe, step, timestep, tensors):
        raise ValueError(f"step {step}")

    pipe = pipeline()
    try:
        draw(pipe, callback_on_step_end=fail)
        text = "no error"
    except ValueError as error:
        text = str(error)
    return text, draw(pipe)


@case
def attention_edited_by_the_step():
    """prompt-to-prompt with a controller that a callback tells the step."""

    class Controller:
        step = 0

        def __call__(self, attn, hidden_states, encoder_hidden_states=None, **others):
            kept.append(self.step)
            return attention(attn, hidden_states, encoder_hidden_states) * (1 + self.step)

    def tell(pipe, step, timestep, tensors):
        controller.step = step + 1
        return {}

    pipe, controller, kept = pipeline(), Controller(), []
    pipe.unet.set_attn_processor(controller)
    return (draw(pipe, callback_on_step_end=tell), kept)


@case
def parts_shared_by_two_pipelines():
    one = pipeline()
    other = StableDiffusionImg2ImgPipeline(**one.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))

    def redraw():
        return other(
            prompt_embeds=E,
            negative_prompt_embeds=-E,
            image=image,
            strength=0.7,
            num_inference_steps=3,
            output_type="pt",
            generator=torch.Generator().manual_seed(0),
        ).images

    first = draw(one), redraw()
    with torch.no_grad():
        other.unet.conv_out.weight.mul_(5)
    second = draw(one), redraw()
    return (*changed(first[0], second[0]), *changed(first[1], second[1]))


@case
def unet_exchanged():
    pipe = pipeline()
    first = draw(pipe)
    torch.manual_seed(5)
    pipe.unet = type(pipe.unet).from_config(pipe.unet.config).eval()
    second = draw(pipe)
    return changed(first, second)


@case
def unet_put_into_a_wrapper():
    class Wrapper(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.calls = inner, 0

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("inner"), name)

        def forward(self, *args, **kwargs):
            self.calls += 1
            return tuple(each * 2 for each in self.inner(*args, **kwargs))

    pipe = pipeline()
    first = draw(pipe)
    pipe.unet = Wrapper(pipe.unet)
    return (*changed(first, draw(pipe)), pipe.unet.calls)


@case
def compiled_by_the_script():
    pipe = pipeline()
    first = draw(pipe)
    pipe.unet = torch.compile(pipe.unet, backend="eager", fullgraph=True)
    second = draw(pipe)
    pipe.unet = pipe.unet._orig_mod
    return first, second, draw(pipe)


@case
def scheduler_exchanged():
    pipe = pipeline()
    first = draw(pipe)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    return changed(first, draw(pipe))


@case
def latents_given_and_returned():
    pipe = pipeline()
    latents = LATENTS.clone()
    first = draw(pipe, latents=latents, output_type="latent")
    second = draw(pipe, latents=first, output_type="latent")
    return (*changed(first, second), torch.equal(latents, LATENTS))


@case
def pictures_under_inference_mode():
    pipe = pipeline()
    with torch.inference_mode():
        first = draw(pipe)
        pipe.unet.conv_out.weight.mul_(5)
        second = draw(pipe)
    return (*changed(first, second), draw(pipe))


@case
def kinds_of_pictures():
    pipe = pipeline()
    array = draw(pipe, output_type="np")
    image = draw(pipe, output_type="pil")[0]
    return (array, type(image).__name__, image.size, image.mode)


@case(falls_back=True)
def latents_with_gradients():
    """DOODL, DRaFT: the whole loop under gradients, through the unwrapped call."""
    pipe = pipeline()
    latents = LATENTS.clone().requires_grad_()
    call = StableDiffusionPipeline.__call__.__wrapped__
    image = call(
        pipe,
        prompt_embeds=E,
        negative_prompt_embeds=-E,
        num_inference_steps=2,
        height=8,
        width=8,
        latents=latents,
        output_type="pt",
    ).images
    image.square().mean().backward()
    return (image, latents.grad)
