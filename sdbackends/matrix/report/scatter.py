"""Speed against agreement: rows in, the points, ticks and limits of one SVG plot out.

Both axes are logarithmic, worst relative error of a part from left to right, ratio to the
reference upwards. Drawn in the page itself rather than by a plotting library: each point is then an
element that the filters can hide, in the page's own colours by day and by night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sdbackends.matrix.report.rows import Row

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 16, 48
#: Equal results, and a tolerance that asks for them, have no logarithm; they stand one decade left
#: of the smallest error.
_FLOOR = 1e-8


@dataclass(frozen=True)
class Point:
    """`label` is empty where the same engine is named nearby, or there is no room."""

    row: Row
    x: float
    y: float
    label: str = ""


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    points: tuple[Point, ...]
    columns: tuple[Tick, ...]
    lines: tuple[Tick, ...]
    limits: tuple[Tick, ...]

    width, height = WIDTH, HEIGHT
    left, right = LEFT, WIDTH - RIGHT
    top, bottom = TOP, HEIGHT - BOTTOM


def plot(rows: Sequence[Row]) -> Plot | None:
    """None where no cell has both figures."""
    shown = [row for row in rows if row.ratio and row.worst_part is not None]
    if not shown:
        return None
    limits = {
        precision: max(limit.part_max_relative, _FLOOR)
        for row in shown
        for precision, limit in row.run.tolerances.items()
        if precision == row.cell.precision
    }
    errors = [_error(row) for row in shown]
    low = math.floor(math.log10(min([*errors, *limits.values()])))
    high = math.ceil(math.log10(max([*errors, *limits.values()])))
    ratios = [row.ratio or 1.0 for row in shown]
    slow = math.floor(math.log2(min([*ratios, 0.9])))
    fast = math.ceil(math.log2(max([*ratios, 1.1])))

    def across(error: float) -> float:
        share = (math.log10(error) - low) / max(high - low, 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def up(ratio: float) -> float:
        share = (math.log2(ratio) - slow) / (fast - slow)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    equal = any(row.worst_part == 0 for row in shown)
    return Plot(
        points=_labelled([Point(row, across(_error(row)), up(row.ratio or 1.0)) for row in shown]),
        columns=tuple(
            Tick(across(10.0**power), "equal" if equal and power == low else f"1e{power}")
            for power in range(low, high + 1)
        ),
        lines=tuple(Tick(up(2.0**power), f"{2.0**power:g}×") for power in range(slow, fast + 1)),
        limits=tuple(Tick(across(limit), precision) for precision, limit in limits.items()),
    )


def _labelled(points: Sequence[Point]) -> tuple[Point, ...]:
    """Names beside points where they cover neither another name nor another engine's point."""
    labelled: list[Point] = []
    for point in points:
        name = _name(point)
        space = 14 + 6.5 * len(name)
        covered = any(
            abs(other.y - point.y) < 12 and _name(other) != name and 0 <= other.x - point.x < space
            for other in points
        )
        named = any(
            other.label and abs(other.y - point.y) < 14 and abs(other.x - point.x) < space
            for other in labelled
        )
        fits = point.x + space < WIDTH
        labelled.append(replace(point, label=name if fits and not covered and not named else ""))
    return tuple(labelled)


def _name(point: Point) -> str:
    cell = point.row.cell
    return f"{cell.backend} {cell.precision}"


def _error(row: Row) -> float:
    return max(row.worst_part or 0.0, _FLOOR)
