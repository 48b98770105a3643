"""The bar charts: where the time of a picture goes, building, memory, and the share of the ceiling.

Rows in, `ChartSection`s out: a chart for each work and machine, a bar for each cell that has
figures. Bars are elements of the page (a length each), so the filters can take them away and
rescale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sdbackends.matrix.report import format
from sdbackends.matrix.report.rows import Row
from sdbackends.matrix.results import Cell, Part

Kinds = tuple[tuple[str, str], ...]  # a colour of the style sheet, what it stands for

PARTS: dict[Part, str] = {"encode": "encode", "step": "denoise", "decode": "decode"}
_LATENCY: Kinds = (
    ("k1", "encode"),
    ("k2", "denoise"),
    ("k3", "decode"),
    ("k4", "the rest of the call"),
)
_BUILD: Kinds = (
    ("k5", "capture"),
    ("k1", "build, empty cache"),
    ("k2", "build, from the cache"),
    ("k3", "first picture"),
    ("k4", "each picture after it"),
)
_MEMORY: Kinds = (("k1", "process, at most"), ("k2", "GPU, at most"), ("k3", "weights"))
_SHARE: Kinds = (("k1", "encode"), ("k2", "denoise"), ("k3", "decode"))


@dataclass(frozen=True)
class Piece:
    kind: str
    name: str
    value: float
    text: str


@dataclass(frozen=True)
class Bar:
    """One cell; `longest` is what the chart must have room for."""

    row: Row
    pieces: tuple[Piece, ...]
    longest: float
    text: str = ""


@dataclass(frozen=True)
class Chart:
    cell: Cell
    place: str
    bars: tuple[Bar, ...]

    @property
    def longest(self) -> float:
        return max(bar.longest for bar in self.bars)


@dataclass(frozen=True)
class ChartSection:
    """`stacked`: the pieces of a bar stand end to end, because they add up."""

    id: str
    title: str
    note: str
    kinds: Kinds
    charts: tuple[Chart, ...]
    stacked: bool = False


def sections(rows: Sequence[Row]) -> list[ChartSection]:
    """Those that have a bar at all."""
    found = [
        ChartSection(
            "latency",
            "Where the time of a picture goes",
            "Medians in a warm process; together they are one whole call, which draws the batch.",
            _LATENCY,
            _charts(rows, _latency),
            stacked=True,
        ),
        ChartSection(
            "building",
            "Building, cold and from the cache",
            "What a person waits for before pictures come at their steady pace. Building with an "
            "empty cache has the capture in it, and the first picture has all of that.",
            _BUILD,
            _charts(rows, _building),
        ),
        ChartSection(
            "memory",
            "Memory",
            "The largest resident size, workers included; the largest on the GPU; weights held.",
            _MEMORY,
            _charts(rows, _memory),
        ),
        ChartSection(
            "roofline",
            "Share of the machine's ceiling",
            "Operations a second of each part, attention included, against the fastest matmul or "
            "convolution that a probe reached on the same machine at the start of the run.",
            _SHARE,
            _charts(rows, _share),
        ),
    ]
    return [section for section in found if section.charts]


def _charts(rows: Sequence[Row], bar: Callable[[Row], Bar | None]) -> tuple[Chart, ...]:
    groups: dict[tuple[object, ...], list[Bar]] = {}
    for row in rows:
        if (made := bar(row)) is not None:
            groups.setdefault((row.place, *row.work), []).append(made)
    return tuple(
        Chart(bars[0].row.cell, bars[0].row.place, tuple(bars)) for bars in groups.values()
    )


def _latency(row: Row) -> Bar | None:
    if row.image is None:
        return None
    taken = {PARTS[part]: value for part, value in row.seconds_of_parts.items()}
    rest = max(0.0, row.image.p50 - sum(taken.values()))
    pieces = _pieces(_LATENCY, {**taken, "the rest of the call": rest}, format.seconds)
    return Bar(row, pieces, sum(piece.value for piece in pieces), format.seconds(row.image.p50))


def _building(row: Row) -> Bar | None:
    timings = row.result.timings
    values = {
        "capture": timings.capture,
        "build, empty cache": timings.build_cold,
        "build, from the cache": timings.build_cached,
        "first picture": timings.first_image,
        "each picture after it": row.image.p50 if row.image else None,
    }
    return _several(row, _pieces(_BUILD, values, format.seconds))


def _memory(row: Row) -> Bar | None:
    memory = row.result.memory
    values = {
        "process, at most": memory.peak_rss,
        "GPU, at most": memory.peak_gpu,
        "weights": memory.weights,
    }
    return _several(row, _pieces(_MEMORY, values, format.size))


def _share(row: Row) -> Bar | None:
    values = {PARTS[part]: value for part, value in row.figures.shares.items()}
    return _several(row, _pieces(_SHARE, values, format.share))


def _several(row: Row, pieces: tuple[Piece, ...]) -> Bar | None:
    return Bar(row, pieces, max(piece.value for piece in pieces)) if pieces else None


def _pieces(
    kinds: Kinds, values: Mapping[str, float | None], text: Callable[[float], str]
) -> tuple[Piece, ...]:
    """A piece for each value that there is, in the order of the key."""
    return tuple(
        Piece(kind, name, float(value), text(value))
        for kind, name in kinds
        if (value := values.get(name)) is not None
    )
