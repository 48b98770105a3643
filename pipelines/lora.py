"""Stable Diffusion with a LoRA: small matrices beside the UNet's attention.

python lora.py "a cat" --model sd-legacy/stable-diffusion-v1-5 --lora some/lora

Without --lora it is one of random numbers. It needs peft.
"""

from _arguments import parser, text
from _drawing import draw, load, size


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.StableDiffusionPipeline)
    if arguments.lora:
        pipe.load_lora_weights(arguments.lora)
    else:
        add_random(pipe.unet)
    draw(pipe, arguments, **size(arguments))


def add_random(unet):
    """An adapter of the usual places and rank, that has learnt nothing."""
    import peft
    import torch

    torch.manual_seed(0)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(peft.LoraConfig(r=4, init_lora_weights=False, target_modules=targets))
    unet.eval()


if __name__ == "__main__":
    options = parser(__doc__, "tiny/sd", "a big red circle on a blue background")
    options.add_argument("--lora", type=text, help="a folder, a file, or a hub id")
    main(options.parse_args())
