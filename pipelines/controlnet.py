"""A prompt and a picture of outlines that a ControlNet makes the UNet follow.

python controlnet.py "a cat" --model sd-legacy/stable-diffusion-v1-5 \\
    --controlnet lllyasviel/sd-controlnet-canny --image edges.png

Without --controlnet one is made from the UNet, with random numbers where it would have learnt.
"""

from _arguments import existing_file, parser, text
from _drawing import draw, load, size_in_pixels
from _pictures import opened, sketch


def main(arguments):
    import diffusers

    plain = load(arguments, diffusers.StableDiffusionPipeline)
    net = controlnet(arguments, plain.unet)
    pipe = diffusers.StableDiffusionControlNetPipeline(
        **plain.components, controlnet=net, requires_safety_checker=False
    )
    pixels = size_in_pixels(pipe, arguments)
    image = opened(arguments.image, pixels) if arguments.image else sketch(pixels)
    draw(pipe, arguments, image=[image] * len(arguments.prompts) * arguments.batch)


def controlnet(arguments, unet):
    """The one that was named, or an untaught one that fits `unet`."""
    import diffusers
    import torch

    if arguments.controlnet:
        net = diffusers.ControlNetModel.from_pretrained(arguments.controlnet, dtype=unet.dtype)
        return net.to(unet.device)
    torch.manual_seed(0)  # some of its layers are no copies of the UNet's
    net = diffusers.ControlNetModel.from_unet(unet).to(unet.device).eval()
    for parameter in net.parameters():
        parameter.data = parameter.data.to(unet.dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if not parameter.any():  # such layers begin at zero, and would add nothing
            noise = torch.randn(parameter.shape, generator=generator) * 0.01
            parameter.data.copy_(noise)
    return net


if __name__ == "__main__":
    options = parser(__doc__, "tiny/sd", "a big red circle on a blue background")
    options.add_argument("--controlnet", type=text, help="a folder, or a hub id")
    options.add_argument("--image", type=existing_file, help="the outlines; else a sketch")
    main(options.parse_args())
