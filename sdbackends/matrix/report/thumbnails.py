"""The report's pictures: thumbnails and difference maps of its rows.

A picture file and the reference's come in; small pictures go out: for the page as `data:` URIs, so
that it needs no other file, and for report.md as one contact sheet, a WebP, because a forge shows
no `data:` pictures.
"""

from __future__ import annotations

import base64
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from sdbackends.matrix import contact_sheet
from sdbackends.matrix.difference_map import EDGE, difference_map
from sdbackends.matrix.report import format
from sdbackends.matrix.report.rows import Row, reference_of
from sdbackends.matrix.results import Cell

#: Of report.md's sheet.
_LAYOUT = contact_sheet.Layout(edge=128, map_edge=128, across=4)


@dataclass(frozen=True)
class PageTile:
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
    tiles: tuple[PageTile, ...]


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    groups: dict[tuple[object, ...], list[PageTile]] = {}
    for tile in tiles(rows):
        groups.setdefault((tile.row.place, *tile.row.work), []).append(tile)
    return [Sheet(same[0].row.cell, same[0].row.place, tuple(same)) for same in groups.values()]


def tiles(rows: Sequence[Row]) -> list[PageTile]:
    """A tile for each cell that drew something."""
    return [_tile(row, rows) for row in rows if row.result.picture]


def webp(sheets: Sequence[Sheet]) -> bytes:
    """Draw all `sheets` into one WebP."""
    sections = [
        contact_sheet.Section(_title(one), tuple(map(_captioned, one.tiles))) for one in sheets
    ]
    file = io.BytesIO()
    contact_sheet.draw(sections, _LAYOUT).save(file, "WEBP", quality=82)
    return file.getvalue()


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


def _title(sheet: Sheet) -> str:
    work = format.work(sheet.cell).replace("×", "x")  # Pillow's own font lacks it
    return f"{sheet.cell.pipeline} on {sheet.place}: {work}"


def _captioned(tile: PageTile) -> contact_sheet.Tile:
    """The tile with the words of the page's sheet under it."""
    cell = tile.row.cell
    return contact_sheet.Tile(
        f"{cell.backend} {cell.precision}: {tile.row.outcome}",
        (_how_far(tile),),
        tile.picture,
        tile.difference,
        "the reference" if tile.is_reference else tile.lacks,
        marked=tile.row.state == "wrong",
    )


def _how_far(tile: PageTile) -> str:
    agreement = tile.row.result.agreement
    if agreement is None or agreement.image_max is None or tile.is_reference:
        return ""
    text = f"max {agreement.image_max}/255, {format.decibels(agreement.psnr)}"
    return text if agreement.ssim is None else f"{text}, SSIM {agreement.ssim:.4f}"


def _tile(row: Row, rows: Sequence[Row]) -> PageTile:
    reference = reference_of(row, rows)
    picture = _open(row)
    if picture is None:
        return PageTile(
            row, lacks=f"{row.result.picture} is not beside the results file, or no PNG"
        )
    if reference is row:
        return PageTile(row, _small(picture), is_reference=True)
    other = _open(reference) if reference else None
    if other is None:
        return PageTile(row, _small(picture), lacks="no picture of the reference to compare")
    if other.size != picture.size:
        return PageTile(row, _small(picture), lacks="another size than the reference's")
    return PageTile(row, _small(picture), difference_map(picture, other))


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((EDGE, EDGE))  # never larger than it was
    return small


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
