"""A picture from a picture and a prompt.

python img2img.py "a big red circle on a blue background" --image sketch.png --strength 0.8
"""

from _arguments import existing_file, parser, share
from _drawing import draw, load, size_in_pixels
from _pictures import opened, sketch


def main(arguments):
    import diffusers

    pipe = load(arguments, diffusers.StableDiffusionImg2ImgPipeline)
    pixels = size_in_pixels(pipe, arguments)
    image = opened(arguments.image, pixels) if arguments.image else sketch(pixels)
    draw(pipe, arguments, image=image, strength=arguments.strength)


if __name__ == "__main__":
    options = parser(__doc__, "tiny/sd", "a big red circle on a blue background")
    options.add_argument("--image", type=existing_file, help="to start from; else a sketch")
    options.add_argument("--strength", type=share, default=0.8, help="how much may change, 0 to 1")
    main(options.parse_args())
