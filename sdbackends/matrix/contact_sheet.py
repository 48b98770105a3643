"""The contact sheet: pictures with captions and difference maps, drawn into one picture.

Sections come in, each with a title and tiles; a tile is a picture, where it differs from the
reference's, and what is written under both. `sdbackends demo` and the report draw theirs here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sdbackends.matrix.difference_map import shows_none
from sdbackends.matrix.fonts import font

_GAP, _MARGIN = 20, 24
#: Of a note in its panel.
_INSET = 10
#: Between a picture and its map.
_SEAM = 2
_TITLE, _HEADING, _TEXT = 19, 16, 13
_TITLE_ROOM, _HEADING_ROOM, _LINE = 36, 26, 18
_PAPER, _PANEL, _INK, _SOFT, _BAD = "#ffffff", "#eceef1", "#16191d", "#5b636e", "#a84300"


@dataclass(frozen=True)
class Tile:
    """One picture on the sheet.

    Attributes:
        heading, lines: what is written under it.
        picture: None: `note` is written in its place.
        difference: the map, see `difference_map`; `note` is written under it where there is room,
            or in its place.
        marked: what it shows is no success: framed, and its heading coloured.
    """

    heading: str
    lines: tuple[str, ...] = ()
    picture: Image.Image | None = None
    difference: Image.Image | None = None
    note: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Section:
    """Tiles that belong together, under one title."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Layout:
    """The measures of a sheet, in pixels.

    Attributes:
        edge, map_edge: of each picture, and of the map beside it.
        across: so many tiles stand side by side at most.
    """

    edge: int
    map_edge: int
    across: int

    @property
    def tile(self) -> int:
        return self.edge + _SEAM + self.map_edge

    def columns(self, sections: Sequence[Section]) -> int:
        return min(self.across, max(len(section.tiles) for section in sections))

    def line(self, section: Section) -> int:
        """The height of one line of tiles, with the gap under it."""
        lines = max(len(tile.lines) for tile in section.tiles)
        return self.edge + _HEADING_ROOM + _LINE * lines + _GAP

    def section(self, section: Section) -> int:
        return _TITLE_ROOM + -(-len(section.tiles) // self.across) * self.line(section)


def draw(sections: Sequence[Section], layout: Layout, *, foot: str = "") -> Image.Image:
    """Draw all `sections`, one under the other, and `foot` at the end."""
    across = layout.columns(sections)
    width = 2 * _MARGIN + across * (layout.tile + _GAP) - _GAP
    below = _LINE + _GAP if foot else 0
    height = 2 * _MARGIN - _GAP + sum(map(layout.section, sections)) + below
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    top = _MARGIN
    for section in sections:
        _write(pen, (_MARGIN, top), section.title, _INK, _TITLE, width - 2 * _MARGIN)
        for number, tile in enumerate(section.tiles):
            down, right = divmod(number, layout.across)
            left = _MARGIN + right * (layout.tile + _GAP)
            place = (left, top + _TITLE_ROOM + down * layout.line(section))
            _draw_tile(sheet, pen, place, tile, layout)
        top += layout.section(section)
    _write(pen, (_MARGIN, top), foot, _SOFT, _TEXT, width - 2 * _MARGIN)
    return sheet


def _draw_tile(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    tile: Tile,
    layout: Layout,
) -> None:
    left, top = place
    right, bottom = left + layout.tile, top + layout.edge
    if tile.picture is None:
        _panel(pen, (left, top, right, bottom), tile.note)
    else:
        sheet.paste(_fitted(tile.picture, layout.edge), place)
        beside = left + layout.edge + _SEAM
        note = tile.note
        if tile.difference is not None and shows_none(tile.difference):
            # A black square would be taken for a picture that is missing.
            note = note or "no pixel differs"
        elif tile.difference is not None:
            sheet.paste(_fitted(tile.difference, layout.map_edge), (beside, top))
            top += layout.map_edge
        if top < bottom:
            _panel(pen, (beside, top, right, bottom), note)
    if tile.marked:
        pen.rectangle((left - 3, place[1] - 3, right + 2, bottom + 2), None, _BAD, 3)
    ink = _BAD if tile.marked else _INK
    _write(pen, (left, bottom + 6), tile.heading, ink, _HEADING, layout.tile)
    for number, line in enumerate(tile.lines):
        under = (left, bottom + _HEADING_ROOM + number * _LINE)
        _write(pen, under, line, _SOFT, _TEXT, layout.tile)


def _fitted(picture: Image.Image, edge: int) -> Image.Image:
    # Nearest upwards: small pictures are compared pixel by pixel.
    small = max(picture.size) <= edge
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((edge, edge), how)


def _panel(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], note: str) -> None:
    """Fill a box with what is said in place of a picture, as many lines as it has room for."""
    left, top, right, bottom = box
    pen.rectangle((left, top, right - 1, bottom - 1), _PANEL)
    face = font(note, _TEXT)
    columns = int((right - left - 2 * _INSET) / pen.textlength("n", face))
    lines = [line for part in note.splitlines() for line in textwrap.wrap(part.strip(), columns)]
    most = (bottom - top - 2 * _INSET) // _LINE
    if len(lines) > most:
        lines[most - 1 :] = [f"{lines[most - 1][: columns - 2]} …"]
    for number, line in enumerate(lines):
        pen.text((left + _INSET, top + _INSET + number * _LINE), line, _SOFT, face)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, ink: str, size: int, width: int
) -> None:
    """One line, cut where it would leave its `width`."""
    face = font(text, size)
    shown = text
    while text and pen.textlength(shown, face) > width:
        text = text[:-1]
        shown = f"{text.rstrip()}…"
    pen.text(place, shown, ink, face)
