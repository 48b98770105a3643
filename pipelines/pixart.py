"""PixArt-alpha: a transformer in the UNet's place, a T5 text encoder.

python pixart.py "a photo of a cat" --model PixArt-alpha/PixArt-XL-2-512x512

The default model has random weights and draws noise; it is there to try the engines on.
"""

from _arguments import parser
from _drawing import draw, load, size


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.PixArtAlphaPipeline)
    # Exactly the size that was asked for, and the prompt as it was written.
    draw(pipe, arguments, **size(arguments), use_resolution_binning=False, clean_caption=False)


if __name__ == "__main__":
    main(parser(__doc__, "tiny-random:pixart", "a photo of a cat").parse_args())
