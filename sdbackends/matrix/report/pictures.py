"""The contact sheet's pictures, as data that stands in the page: thumbnails and difference maps.

A picture file and the reference's come in; `data:` URIs go out, so that the page needs no other
file. Differences are taken at full size; only then is the map made small, keeping the largest
difference of each spot, so that a single wrong pixel stays visible.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter, ImageOps

from sdbackends.matrix.report.rows import Row, reference_of

EDGE = 192
#: Black to yellow over red, of equal steps to the eye; told apart without colour too.
MAP_COLOURS = ("#000004", "#bb3754", "#fcffa4")
#: 1/255 must be seen beside 255/255, so the scale is logarithmic.
_LOGARITHMIC = [round(255 * math.log2(1 + value) / 8) for value in range(256)]


@dataclass(frozen=True)
class Tile:
    """One cell on the contact sheet; `lacks` says why there is no picture or no map."""

    row: Row
    picture: str | None = None
    difference: str | None = None
    is_reference: bool = False
    lacks: str = ""


def tiles(rows: Sequence[Row]) -> list[Tile]:
    """A tile for each cell that drew something."""
    return [_tile(row, rows) for row in rows if row.result.picture]


def _tile(row: Row, rows: Sequence[Row]) -> Tile:
    reference = reference_of(row, rows)
    picture = _open(row.picture)
    if picture is None:
        return Tile(row, lacks=f"{row.result.picture} is not beside the results file")
    if reference is row:
        return Tile(row, _data(picture), is_reference=True)
    other = _open(reference.picture) if reference else None
    if other is None:
        return Tile(row, _data(picture), lacks="no picture of the reference to compare")
    if other.size != picture.size:
        return Tile(row, _data(picture), lacks="another size than the reference's")
    return Tile(row, _data(picture), _data(difference_map(picture, other)))


def difference_map(first: Image.Image, second: Image.Image) -> Image.Image:
    """The largest difference of the three colours, spot by spot, from black (equal) to yellow."""
    red, green, blue = ImageChops.difference(first, second).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    while max(largest.size) > EDGE:
        largest = largest.filter(ImageFilter.MaxFilter(3)).reduce(2)
    coloured = largest.point(_LOGARITHMIC)
    coloured.putpalette(_palette())  # 256 colours: a third of the bytes of RGB
    return coloured


def _palette() -> bytes:
    black, mid, white = MAP_COLOURS
    greys = Image.frombytes("L", (256, 1), bytes(range(256)))
    return ImageOps.colorize(greys, black=black, mid=mid, white=white).tobytes()


def _open(path: Path | None) -> Image.Image | None:
    try:
        if path is None:
            return None
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None


def _data(picture: Image.Image) -> str:
    """Small pictures stay as they are, to the pixel; large ones become thumbnails."""
    file = io.BytesIO()
    if max(picture.size) > EDGE:
        small = picture.copy()
        small.thumbnail((EDGE, EDGE))
        small.save(file, "WEBP", quality=80)
        kind = "webp"
    else:
        picture.save(file, "PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
