"""What the scripts in this folder have in common: load a pipeline, draw, write the pictures."""

import json
import sys
import time

import _random_models
from _arguments import files, is_random
from _saving import save
from _steps import check_steps


def load(arguments, kind):
    """The pipeline of class `kind` with the model that was asked for, on its device."""
    import torch

    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, arguments.dtype)
    try:
        if is_random(arguments.model):
            pipe = kind(**_random_models.parts(arguments.model, dtype, device))
        else:
            pipe = kind.from_pretrained(arguments.model, dtype=dtype)
        pipe = pipe.to(device)
    except Exception as error:  # each of the file formats inside has errors of its own
        sys.exit(
            f"error: the model {arguments.model} cannot be loaded on {device}: {error}\n"
            "fix: name a folder that pipe.save_pretrained() wrote, or a hub id that you can reach"
        )
    if arguments.scheduler:
        pipe.scheduler = _scheduler(arguments.scheduler, pipe.scheduler.config)
    return pipe


def draw(pipe, arguments, **extra):
    """Draw as often as was asked for; the last pictures are written. `extra` goes to the call."""
    import torch

    check_steps(pipe.scheduler, arguments.steps)
    prompts = [prompt for prompt in arguments.prompts for _ in range(arguments.batch)]
    seconds = []
    for _ in range(arguments.repeat):
        # Generators on the CPU, one a picture: the same picture on every device and in any batch.
        seeds = range(arguments.seed, arguments.seed + len(prompts))
        start = time.perf_counter()
        images = pipe(
            prompts,
            negative_prompt=[arguments.negative_prompt] * len(prompts),
            num_inference_steps=arguments.steps,
            guidance_scale=arguments.guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            **extra,
        ).images
        seconds.append(time.perf_counter() - start)

    written = files(arguments.output, len(images))
    for path, image in zip(written, images, strict=True):
        save(image, path)
        print(path)
    if arguments.json:
        print(json.dumps({"files": [str(path) for path in written], "seconds": seconds}))


def size(arguments):
    """Height and width as the pipelines take them; None: the model's own."""
    return {
        "height": arguments.height or arguments.width,
        "width": arguments.width or arguments.height,
    }


def size_in_pixels(pipe, arguments):
    """Width and height, where the model's own size must be known in numbers."""
    own = pipe.unet.config.sample_size * pipe.vae_scale_factor
    asked = size(arguments)
    return asked["width"] or own, asked["height"] or own


def _scheduler(name, config):
    import diffusers

    schedulers = {
        # Without skip_prk_steps PNDM would begin in another way than Stable Diffusion's own.
        "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
        "ddim": (diffusers.DDIMScheduler, {}),
        "euler": (diffusers.EulerDiscreteScheduler, {}),
        "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
        "dpm++": (diffusers.DPMSolverMultistepScheduler, {}),
        "unipc": (diffusers.UniPCMultistepScheduler, {}),
    }
    scheduler, options = schedulers[name]
    return scheduler.from_config(config, **options)
