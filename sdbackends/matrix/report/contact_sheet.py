"""The contact sheet as one picture, for report.md: a forge shows no `data:` pictures.

Tiles of `pictures` come in, a WebP goes out: what was drawn beside where it differs, with the
words of the page's sheet under it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from sdbackends.matrix.report import format
from sdbackends.matrix.report.thumbnails import Sheet, Tile

_EDGE, _GAP, _MARGIN = 128, 14, 16
_TILE = 2 * _EDGE + 2
_ACROSS = 4
_HEAD, _CAPTION = 30, 42
_PAPER, _INK, _SOFT, _BAD = "#ffffff", "#16191d", "#5b636e", "#a84300"


def webp(sheets: Sequence[Sheet]) -> bytes:
    """All `sheets` one under the other; every tile at the same size."""
    heights = [_HEAD + _lines(sheet) * (_EDGE + _CAPTION + _GAP) for sheet in sheets]
    width = 2 * _MARGIN + _ACROSS * (_TILE + _GAP) - _GAP
    paper = Image.new("RGB", (width, 2 * _MARGIN + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(paper)
    top = _MARGIN
    for sheet, height in zip(sheets, heights, strict=True):
        title = f"{sheet.cell.pipeline} on {sheet.place}: {format.work(sheet.cell)}"
        title = title.replace("×", "x")  # Pillow's own font lacks it
        draw.text((_MARGIN, top), title, _INK, ImageFont.load_default(17))
        for number, tile in enumerate(sheet.tiles):
            down, across = divmod(number, _ACROSS)
            left = _MARGIN + across * (_TILE + _GAP)
            _tile(paper, draw, (left, top + _HEAD + down * (_EDGE + _CAPTION + _GAP)), tile)
        top += height
    file = io.BytesIO()
    paper.save(file, "WEBP", quality=82)
    return file.getvalue()


def _lines(sheet: Sheet) -> int:
    return -(-len(sheet.tiles) // _ACROSS)


def _tile(
    paper: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], tile: Tile
) -> None:
    left, top = place
    pair = ((tile.picture, left), (tile.difference, left + _EDGE + 2))
    for picture, at in pair:
        draw.rectangle((at, top, at + _EDGE - 1, top + _EDGE - 1), "#eceef1")
        if picture is not None:
            paper.paste(_fitted(picture), (at, top))
    if tile.difference is None:
        lacks = "the reference" if tile.is_reference else tile.lacks
        at = left + (_EDGE + 2 if tile.picture else 0)
        draw.multiline_text((at + 8, top + 24), _wrapped(lacks), _SOFT, _small())
    wrong = tile.row.state == "wrong"
    if wrong:
        draw.rectangle((left - 3, top - 3, left + _TILE + 2, top + _EDGE + 2), None, _BAD, 3)
    name = f"{tile.row.cell.backend} {tile.row.cell.precision}"
    name += f": {tile.row.outcome}"
    draw.text((left, top + _EDGE + 6), name, _BAD if wrong else _INK, ImageFont.load_default(14))
    draw.text((left, top + _EDGE + 24), _how_far(tile), _SOFT, _small())


def _fitted(picture: Image.Image) -> Image.Image:
    # Nearest upwards: small pictures are compared pixel by pixel.
    small = max(picture.size) <= _EDGE
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((_EDGE, _EDGE), how)


def _how_far(tile: Tile) -> str:
    agreement = tile.row.result.agreement
    if agreement is None or agreement.image_max is None or tile.is_reference:
        return ""
    text = f"max {agreement.image_max}/255, {format.decibels(agreement.psnr)}"
    return text if agreement.ssim is None else f"{text}, SSIM {agreement.ssim:.4f}"


def _wrapped(text: str) -> str:
    return "\n".join(text[at : at + 19] for at in range(0, min(len(text), 95), 19))


def _small() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)
