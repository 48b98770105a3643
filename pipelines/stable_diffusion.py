"""Stable Diffusion 1.x, 2.x and fine-tunes of them, as diffusers runs them.

python stable_diffusion.py "a big red circle on a blue background" -o circle.png
python stable_diffusion.py "a photo of a cat" --model sd-legacy/stable-diffusion-v1-5
"""

from _arguments import parser
from _drawing import draw, load, size


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.StableDiffusionPipeline)
    draw(pipe, arguments, **size(arguments))


if __name__ == "__main__":
    main(parser(__doc__, "tiny/sd", "a big red circle on a blue background").parse_args())
