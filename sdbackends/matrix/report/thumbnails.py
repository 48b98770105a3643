"""The contact sheet's pictures: thumbnails and difference maps.

A picture file and the reference's come in; small pictures go out, and for the page `data:` URIs,
so that it needs no other file. Differences are taken at full size; only then is the map made
small, keeping the largest difference of each spot, so that a single wrong pixel stays visible.
"""

from __future__ import annotations

import base64
import io
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, ImageChops, ImageFilter, ImageOps

from sdbackends.matrix.report.rows import Row, reference_of
from sdbackends.matrix.results import Cell

EDGE = 192
#: Black to yellow over red, of equal steps to the eye; told apart without colour too.
MAP_COLOURS = ("#000004", "#bb3754", "#fcffa4")
#: 1/255 must be seen beside 255/255, so the scale is logarithmic.
_LOGARITHMIC = [round(255 * math.log2(1 + value) / 8) for value in range(256)]


@dataclass(frozen=True)
class Tile:
    """One cell on the contact sheet; `lacks` says why there is no picture or no map."""

    row: Row
    picture: Image.Image | None = None
    difference: Image.Image | None = None
    is_reference: bool = False
    lacks: str = ""


@dataclass(frozen=True)
class Sheet:
    """The pictures of one work on one machine."""

    cell: Cell
    place: str
    tiles: tuple[Tile, ...]


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    groups: dict[tuple[object, ...], list[Tile]] = {}
    for tile in tiles(rows):
        groups.setdefault((tile.row.place, *tile.row.work), []).append(tile)
    return [Sheet(same[0].row.cell, same[0].row.place, tuple(same)) for same in groups.values()]


def tiles(rows: Sequence[Row]) -> list[Tile]:
    """A tile for each cell that drew something."""
    return [_tile(row, rows) for row in rows if row.result.picture]


def _tile(row: Row, rows: Sequence[Row]) -> Tile:
    reference = reference_of(row, rows)
    picture = _open(row)
    if picture is None:
        return Tile(row, lacks=f"{row.result.picture} is not beside the results file, or no PNG")
    if reference is row:
        return Tile(row, _small(picture), is_reference=True)
    other = _open(reference) if reference else None
    if other is None:
        return Tile(row, _small(picture), lacks="no picture of the reference to compare")
    if other.size != picture.size:
        return Tile(row, _small(picture), lacks="another size than the reference's")
    return Tile(row, _small(picture), difference_map(picture, other))


def difference_map(first: Image.Image, second: Image.Image) -> Image.Image:
    """The largest difference of the three colours, spot by spot, from black (equal) to yellow."""
    red, green, blue = ImageChops.difference(first, second).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    while max(largest.size) > EDGE:
        largest = largest.filter(ImageFilter.MaxFilter(3)).reduce(2)
    coloured = largest.point(_LOGARITHMIC)
    coloured.putpalette(_palette())  # 256 colours: a third of the bytes of RGB
    return coloured


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((EDGE, EDGE))  # never larger than it was
    return small


def _palette() -> bytes:
    black, mid, white = MAP_COLOURS
    greys = Image.frombytes("L", (256, 1), bytes(range(256)))
    return ImageOps.colorize(greys, black=black, mid=mid, white=white).tobytes()


def _open(row: Row) -> Image.Image | None:
    if row.picture is None:
        return None
    try:
        # No other form: a run writes PNG, and some forms are read by programs outside Pillow.
        with (
            _inside(row.picture, row.file.parent) as file,
            Image.open(file, formats=("PNG",)) as opened,
        ):
            return opened.convert("RGB")
    # Pillow says what is wrong with a file in all of these.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def _inside(path: Path, folder: Path) -> IO[bytes]:
    """The plain file at `path`: a link out of `folder`, a pipe or a device is not read.

    Raises:
        OSError: there is no such file.
    """
    real = path.resolve(strict=True)
    if not real.is_relative_to(folder.resolve()):
        raise FileNotFoundError(f"{path} leads out of {folder}")
    # To open a pipe waits for one who writes, unless it is told not to.
    handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise FileNotFoundError(f"{path} is no plain file")
    return file


def data(picture: Image.Image) -> str:
    """As a `data:` URI: small pictures and maps to the pixel, thumbnails in few bytes."""
    file = io.BytesIO()
    if picture.mode == "RGB" and max(picture.size) >= EDGE:
        picture.save(file, "WEBP", quality=80)
        kind = "webp"
    else:
        picture.save(file, "PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
