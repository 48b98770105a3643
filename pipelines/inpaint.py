"""A part of a picture drawn anew: what is white in the mask.

python inpaint.py "a big red circle on a blue background" --image old.png --mask mask.png
"""

from _arguments import existing_file, parser, share
from _drawing import draw, load, size_in_pixels
from _pictures import middle, opened, sketch


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.StableDiffusionInpaintPipeline)
    pixels = size_in_pixels(pipe, arguments)
    image = opened(arguments.image, pixels) if arguments.image else sketch(pixels)
    mask = opened(arguments.mask, pixels) if arguments.mask else middle(pixels)
    width, height = pixels
    extra = {"image": image, "mask_image": mask, "strength": arguments.strength}
    draw(pipe, arguments, width=width, height=height, **extra)


if __name__ == "__main__":
    options = parser(__doc__, "tiny/sd", "a big red circle on a blue background")
    options.add_argument("--image", type=existing_file, help="to change; else a sketch")
    options.add_argument("--mask", type=existing_file, help="white: draw anew; else the middle")
    options.add_argument("--strength", type=share, default=1.0, help="how much may change, 0 to 1")
    main(options.parse_args())
