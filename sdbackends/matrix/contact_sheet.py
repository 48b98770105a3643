"""The contact sheet: cells in, one picture out; rows are prompts, columns are backends.

Pillow alone. Chinese prompts are written where the machine has a font for them, and in English
where it has none: boxes instead of characters would tell nobody anything.
"""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sdbackends.matrix.demo import Cell, Row

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PICTURE = 256
_MARGIN = 24
_LABEL = 190  # the column of prompts
_CAPTION = 52  # under each picture
_HEAD = 64
_INK, _SOFT, _BAD, _PAPER = "#1b1f24", "#6a737d", "#b3261e", "#ffffff"
_FOOT = "seconds: the second drawing in the same process, without loading and building"
#: Where Linux, macOS and Windows keep a font with Chinese characters; fontconfig is asked first.
_CHINESE_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)


def contact_sheet(cells: Sequence[Cell]) -> Image.Image:
    """One picture of all cells; a failed cell shows its reason where the picture would be."""
    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.backend for cell in cells))
    width = _LABEL + len(columns) * (_PICTURE + _MARGIN) + 2 * _MARGIN
    height = _HEAD + len(rows) * (_PICTURE + _CAPTION + _MARGIN) + _MARGIN + 8
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, backend in enumerate(columns):
        draw.text((_left(number), _MARGIN), backend, _INK, _font(24))
    for number, row in enumerate(rows):
        _label(draw, _top(number), row)
    for cell in cells:
        place = (_left(columns.index(cell.backend)), _top(rows.index(cell.row)))
        _cell(sheet, draw, place, cell, reference=columns[0])
    draw.text((_MARGIN, height - _MARGIN - 8), _FOOT, _SOFT, _font(13))
    return sheet


def prompt_text(row: Row, has_chinese: bool) -> str:
    """What is written beside a row."""
    return row.prompt if row.prompt.isascii() or has_chinese else (row.english or row.pipeline)


def chinese_font() -> Path | None:
    """A font file of this machine that has Chinese characters, or None."""
    if shutil.which("fc-list"):
        asked = ["fc-list", ":lang=zh-cn", "file"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        paths = sorted(Path(line.rstrip(": ")) for line in found.splitlines())
        outlines = [path for path in paths if path.suffix.lower() in (".ttf", ".ttc", ".otf")]
        if outlines:
            return outlines[0]
    return next((path for path in map(Path, _CHINESE_FONTS) if path.is_file()), None)


def _cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    cell: Cell,
    reference: str,
) -> None:
    left, top = place
    if cell.picture is None:
        draw.rectangle((left, top, left + _PICTURE, top + _PICTURE), outline=_BAD)
        reason = textwrap.shorten(cell.error or "", 300, placeholder=" …")
        text = "failed:\n" + textwrap.fill(reason, 34)
        draw.multiline_text((left + 10, top + 10), text, _BAD, _font(14))
        return
    # Nearest: these are small pictures, and their pixels are what is compared.
    sheet.paste(cell.picture.resize((_PICTURE, _PICTURE), Image.Resampling.NEAREST), place)
    draw.text((left, top + _PICTURE + 6), f"{cell.seconds:.2f} s", _INK, _font(17))
    if cell.backend == reference:
        text = "the reference"
    elif cell.difference is None:
        text = f"no picture of {reference} to compare"
    else:
        text = f"largest difference from {reference}: {cell.difference}/255"
    draw.text((left, top + _PICTURE + 28), text, _SOFT, _font(14))


def _label(draw: ImageDraw.ImageDraw, top: int, row: Row) -> None:
    font = None if row.prompt.isascii() else chinese_font()
    text = prompt_text(row, has_chinese=font is not None)
    if text.isascii():
        draw.multiline_text((_MARGIN, top), textwrap.fill(text, 18), _INK, _font(17), spacing=6)
    else:
        face = ImageFont.truetype(str(font), 17)
        draw.multiline_text(
            (_MARGIN, top), "\n".join(textwrap.wrap(text, 9)), _INK, face, spacing=6
        )


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _left(column: int) -> int:
    return _MARGIN + _LABEL + column * (_PICTURE + _MARGIN)


def _top(row: int) -> int:
    return _HEAD + row * (_PICTURE + _CAPTION + _MARGIN)
