"""The contact sheet: a place for every tile, and nothing that leaves its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sdbackends.matrix import fonts
from sdbackends.matrix.contact_sheet import Layout, Section, Tile, draw
from sdbackends.matrix.difference_map import difference_map, shows_none

LAYOUT = Layout(edge=64, map_edge=32, across=3)
LONG = "a long reason\n  why: " + "that goes on and on " * 40
RED, LIME, BLUE, PAPER = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(colour: tuple[int, int, int] = RED) -> Image.Image:
    return Image.new("RGB", (16, 16), colour)


def tiles(*colours: tuple[int, int, int]) -> tuple[Tile, ...]:
    return tuple(Tile("name", ("0.50 s",), picture(one), note="the reference") for one in colours)


def corners(sheet: Image.Image, colour: tuple[int, int, int], edge: int) -> list[tuple[int, int]]:
    """Where squares of `colour` begin, from above."""
    there = sheet.load()
    assert there is not None
    found = []
    for top in range(sheet.height):
        for left in range(sheet.width):
            before = (left and there[left - 1, top] == colour) or (
                top and there[left, top - 1] == colour
            )
            if there[left, top] == colour and not before:
                found.append((left, top))
                last = (left + edge - 1, top + edge - 1)
                assert there[last] == colour and there[last[0] + 1, last[1]] != colour
    return found


def test_every_picture_has_its_place() -> None:
    sheet = draw([Section("one", tiles(RED, LIME)), Section("two", tiles(BLUE, RED))], LAYOUT)
    (lime,) = corners(sheet, LIME, 64)
    (blue,) = corners(sheet, BLUE, 64)
    first, second = corners(sheet, RED, 64)
    assert first[1] == lime[1] < blue[1] == second[1]
    assert first[0] == blue[0] < lime[0] == second[0]


def test_more_tiles_than_fit_go_on_in_the_next_line() -> None:
    four = draw([Section("one", tiles(RED, RED, RED, LIME))], LAYOUT)
    three = draw([Section("one", tiles(RED, RED, RED))], LAYOUT)
    assert four.width == three.width and four.height > three.height + 64
    assert corners(four, LIME, 64)[0][0] == corners(four, RED, 64)[0][0]


def test_a_map_stands_beside_its_picture() -> None:
    other = picture()
    other.putpixel((3, 3), LIME)
    for second, shown in ((other, True), (picture(), False)):
        difference = difference_map(picture(), second)
        assert shows_none(difference) == (not shown)
        tile = Tile("name", (), picture(BLUE), difference)
        sheet = draw([Section("one", (tile,))], LAYOUT)
        ((left, top),) = corners(sheet, BLUE, 64)
        beside = sheet.crop((left + 66, top, left + 98, top + 32))
        darkest = min(low for low, _ in beside.getextrema())  # type: ignore[misc]
        # A map that shows nothing is not drawn: words stand there.
        assert (darkest < 10 and beside.getpixel((0, 0)) == (0, 0, 4)) == shown


@pytest.mark.parametrize("shown", [None, picture(BLUE)])
def test_a_long_note_stays_in_its_place(shown: Image.Image | None) -> None:
    sheet = draw([Section("one", (Tile("x" * 300, (), shown, note=LONG, marked=True),))], LAYOUT)
    for line in (range(sheet.height), range(sheet.height - 24, sheet.height)):
        assert {sheet.getpixel((sheet.width - 20, y)) for y in line} == {PAPER}
    # Below the frame there is the heading alone.
    assert sheet.height < 64 + 150


def test_a_failure_is_framed() -> None:
    frame = (168, 67, 0)
    calm, marked = (
        draw([Section("one", (Tile("name", (), picture(), note="x", marked=wrong),))], LAYOUT)
        for wrong in (False, True)
    )
    assert frame not in [colour for _, colour in calm.getcolors(10**6) or ()]
    assert sum(count for count, one in marked.getcolors(10**6) or () if one == frame) > 4 * 64


def test_chinese_needs_a_font_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fonts, "chinese_font", lambda: None)
    assert fonts.readable("a red circle, 0/255 · …") and not fonts.readable("红色的圆形")
    fonts.font("红色的圆形", 12)  # boxes rather than no sheet
    monkeypatch.setattr(fonts, "chinese_font", lambda: Path("there.ttf"))
    assert fonts.readable("红色的圆形")
