"""The difference map: where two pictures of one size differ, and how much.

The difference is taken at full size; only then is the map made small, keeping the largest
difference of each spot, so that a single wrong pixel stays visible.
"""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageFilter, ImageOps

#: Neither side of a map is longer.
EDGE = 192
#: Black to yellow over red, of equal steps to the eye; told apart without colour too.
COLOURS = ("#000004", "#bb3754", "#fcffa4")
#: 1/255 must be seen beside 255/255, so the scale is logarithmic.
_LOGARITHMIC = [round(255 * math.log2(1 + value) / 8) for value in range(256)]


def difference_map(first: Image.Image, second: Image.Image) -> Image.Image:
    """Map the largest difference of the three colours, from black (equal) to yellow."""
    red, green, blue = ImageChops.difference(first, second).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    while max(largest.size) > EDGE:
        largest = largest.filter(ImageFilter.MaxFilter(3)).reduce(2)
    coloured = largest.point(_LOGARITHMIC)
    coloured.putpalette(_palette())  # 256 colours: a third of the bytes of RGB
    return coloured


def shows_none(difference: Image.Image) -> bool:
    """Tell whether the two pictures of a map are equal."""
    return difference.getextrema() == (0, 0)  # of the palette's indices


def _palette() -> bytes:
    black, mid, white = COLOURS
    greys = Image.frombytes("L", (256, 1), bytes(range(256)))
    return ImageOps.colorize(greys, black=black, mid=mid, white=white).tobytes()
