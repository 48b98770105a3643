"""Stable Diffusion 1.x, 2.x and fine-tunes of them, as diffusers runs them.

python stable_diffusion.py "a big red circle on a blue background" -o circle.png
python stable_diffusion.py "a photo of a cat" --model sd-legacy/stable-diffusion-v1-5
"""

import json
import sys
import time

from _arguments import files, parser


def main(arguments):
    import diffusers
    import torch

    schedulers = {
        # Without skip_prk_steps PNDM would begin in another way than Stable Diffusion's own.
        "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
        "ddim": (diffusers.DDIMScheduler, {}),
        "euler": (diffusers.EulerDiscreteScheduler, {}),
        "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
        "dpm++": (diffusers.DPMSolverMultistepScheduler, {}),
        "unipc": (diffusers.UniPCMultistepScheduler, {}),
    }
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(
            arguments.model, dtype=getattr(torch, arguments.dtype)
        ).to(device)
    except Exception as error:  # each of the file formats inside has errors of its own
        sys.exit(
            f"error: the model {arguments.model} cannot be loaded on {device}: {error}\n"
            "mend: name a folder that pipe.save_pretrained() wrote, or a hub id that you can reach"
        )
    if arguments.scheduler:
        scheduler, options = schedulers[arguments.scheduler]
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **options)

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
            height=arguments.height or arguments.width,
            width=arguments.width or arguments.height,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        ).images
        seconds.append(time.perf_counter() - start)

    written = files(arguments.output, len(images))
    for path, image in zip(written, images, strict=True):
        image.save(path)
        print(path)
    if arguments.json:
        print(json.dumps({"files": [str(path) for path in written], "seconds": seconds}))


if __name__ == "__main__":
    main(parser(__doc__, "tiny/sd", "a big red circle on a blue background").parse_args())
