"""What the page shows first: the fastest right cells, the matrix, and what did not run.

Rows in, small grids out; nothing is computed here, only grouped and ordered. Cells are compared
only with cells of the same pipeline, model, size, batch, steps and scheduler on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sdbackends.matrix.config import PRECISIONS
from sdbackends.matrix.report.rows import Row
from sdbackends.matrix.results import Cell, Outcome

Column = tuple[str, str]  # backend, precision
_NOTHING_RAN = ("unsupported", "not-installed")


@dataclass(frozen=True)
class Rank:
    """A right cell; `level_with` is the next slower one where noise alone may part the two."""

    row: Row
    level_with: Row | None


@dataclass(frozen=True)
class Winners:
    """One work's right cells on each machine, fastest first; none of a machine that has not got
    the work in its matrix, and an empty tuple where no cell was right."""

    cell: Cell
    ranks: dict[str, tuple[Rank, ...]]


@dataclass(frozen=True)
class OverviewLine:
    """One work on one machine, across the backends."""

    cell: Cell
    by_column: dict[Column, Row]
    best: Row | None


@dataclass(frozen=True)
class Grid:
    """The matrix of one machine."""

    place: str
    columns: tuple[Column, ...]
    lines: tuple[OverviewLine, ...]

    @property
    def measured(self) -> Grid:
        """Without the backends that did nothing here."""
        rows = [row for line in self.lines for row in line.by_column.values()]
        there = {_column(row) for row in rows if row.outcome not in _NOTHING_RAN}
        columns = tuple(column for column in self.columns if column in there)
        return replace(self, columns=columns)

    @property
    def outcomes(self) -> frozenset[Outcome]:
        shown = [line.by_column.get(column) for line in self.lines for column in self.columns]
        return frozenset(row.outcome for row in shown if row)


@dataclass(frozen=True)
class Skipped:
    """Cells that share an outcome, a backend, a machine and a reason."""

    outcome: Outcome
    title: str
    reason: str
    rows: tuple[Row, ...]


def ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The right ones that have a speed, fastest first."""
    right = [row for row in rows if row.outcome == "ok" and row.rate]
    return tuple(sorted(right, key=lambda row: -(row.rate or 0.0)))


def winners(rows: Sequence[Row]) -> list[Winners]:
    places = list(dict.fromkeys(row.place for row in rows))
    lines = []
    for same in _by_work(rows):
        by_place = {place: [row for row in same if row.place == place] for place in places}
        ranks = {place: _ranks(there) for place, there in by_place.items() if there}
        lines.append(Winners(same[0].cell, ranks))
    return lines


def grids(rows: Sequence[Row]) -> list[Grid]:
    found = []
    for place in dict.fromkeys(row.place for row in rows):
        here = [row for row in rows if row.place == place]
        lines = []
        for same in _by_work(here):
            best = next(iter(ranked(same)), None)
            lines.append(OverviewLine(same[0].cell, {_column(row): row for row in same}, best))
        found.append(Grid(place, _columns(here), tuple(lines)))
    return found


def skipped(rows: Sequence[Row]) -> list[Skipped]:
    groups: dict[tuple[Outcome, str, str], list[Row]] = {}
    for row in rows:
        if row.outcome != "ok":
            title = f"{row.cell.backend} on {row.place}"
            groups.setdefault((row.outcome, title, row.result.reason), []).append(row)
    return [Skipped(*key, tuple(members)) for key, members in groups.items()]


def _ranks(rows: Sequence[Row]) -> tuple[Rank, ...]:
    order = ranked(rows)
    following: list[Row | None] = [*order[1:], None]
    return tuple(
        Rank(row, slower if slower and _level(row, slower) else None)
        for row, slower in zip(order, following, strict=False)
    )


def _level(faster: Row, slower: Row) -> bool:
    """Whether the intervals of their ratios overlap; ratios of two precisions do not compare."""
    first, second = faster.figures.ratio, slower.figures.ratio
    same = faster.cell.precision == slower.cell.precision
    return bool(same and first and second and second.high >= first.low)


def _by_work(rows: Sequence[Row]) -> list[list[Row]]:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.work, []).append(row)
    return list(groups.values())


def _column(row: Row) -> Column:
    return row.cell.backend, row.cell.precision


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The reference first, then as the run had them; a backend's precisions side by side, the
    exact ones first."""
    backends = list(dict.fromkeys(row.cell.backend for row in rows))
    backends.sort(key=lambda name: name != rows[0].run.reference)
    there = {_column(row) for row in rows}
    return tuple((b, p) for b in backends for p in PRECISIONS if (b, p) in there)
