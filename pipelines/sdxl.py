"""Stable Diffusion XL, SDXL-Turbo, SSD-1B and their like: two text encoders, a larger UNet.

python sdxl.py "a photo of a cat" --model stabilityai/stable-diffusion-xl-base-1.0
python sdxl.py --model full-random:sdxl --width 1024 --dtype bfloat16

The default model has random weights and draws noise; it is there to try the engines on.
"""

from _arguments import parser
from _drawing import draw, load, size


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.StableDiffusionXLPipeline)
    draw(pipe, arguments, **size(arguments))


if __name__ == "__main__":
    main(parser(__doc__, "tiny-random:sdxl", "a photo of a cat").parse_args())
