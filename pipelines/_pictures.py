"""Pictures that scripts start from: a file, or a sketch that is the same every time."""

import sys

from PIL import Image, ImageDraw


def opened(path, size):
    """The picture in the file, at this size (width, height)."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB").resize(size)
    # Pillow says what is wrong with a file in all of these.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        sys.stderr.write(f"error: {path} cannot be read as a picture: {error}\n")
        sys.exit(2)


def sketch(size):
    """A yellow square on black, a quarter of the picture."""
    image = Image.new("RGB", size, "black")
    ImageDraw.Draw(image).rectangle(_quarter(size), fill="yellow")
    return image


def middle(size):
    """A mask: white in the middle."""
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle(_quarter(size), fill=255)
    return mask


def _quarter(size):
    width, height = size
    return (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
