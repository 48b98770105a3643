"""One row for each cell of each run: the cell, its figures, and the words that name it in a report.

Runs with their files come in. Of a machine that was measured more than once the
newest result of each cell counts, as `merge` has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdbackends.matrix import figures, merge
from sdbackends.matrix.figures import Figures, Percentiles
from sdbackends.matrix.report import format
from sdbackends.matrix.results import AFTER_THE_LOOP, Cell, CellResult, Outcome, Part, Run

State = Literal["ok", "wrong", "other"]


@dataclass(frozen=True)
class Row:
    """A cell as the report shows it. `key` is its id in the page; `place` machine and device."""

    key: str
    place: str
    run: Run
    result: CellResult
    file: Path
    figures: Figures

    @property
    def cell(self) -> Cell:
        return self.result.cell

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    @property
    def sign(self) -> str:
        return format.SIGNS[self.outcome]

    @property
    def state(self) -> State:
        return "ok" if self.outcome == "ok" else "wrong" if self.outcome == "wrong" else "other"

    @property
    def work(self) -> tuple[object, ...]:
        """What rows must share to be compared with each other; their precisions may differ."""
        cell = self.cell
        return cell.pipeline, cell.model, cell.size, cell.batch, cell.steps, cell.scheduler

    @property
    def image(self) -> Percentiles | None:
        return self.figures.image

    @property
    def rate(self) -> float | None:
        """Steps a second, end to end."""
        return self.figures.end_to_end_rate

    @property
    def ratio(self) -> float | None:
        return self.figures.ratio.value if self.figures.ratio else None

    @property
    def is_reference(self) -> bool:
        """Whether it is what speeds are compared with; pictures are compared with its fp32."""
        return self.cell.backend == self.run.reference

    @property
    def worst_part(self) -> float | None:
        """The largest relative error of any part that is held to a tolerance."""
        parts = self.result.agreement.parts if self.result.agreement else {}
        errors = (part.max_relative for name, part in parts.items() if name not in AFTER_THE_LOOP)
        return max(errors, default=None)

    @property
    def picture(self) -> Path | None:
        return self.file.parent / self.result.picture if self.result.picture else None

    @property
    def seconds_of_parts(self) -> dict[Part, float]:
        """What each part takes of one whole call: its median, as often as it is called."""
        calls = len(self.result.timings.images)
        if not calls:
            return {}
        return {part: it.p50 * it.count / calls for part, it in self.figures.parts.items()}


def rows(runs: Iterable[merge.Placed]) -> list[Row]:
    """Rows of the newest result of each cell and machine, machine by machine.

    In the order of the first run that had the cell: a part that was measured again stays in place.
    """
    placed = sorted(runs, key=lambda pair: pair[0].started)
    seen = dict.fromkeys(result.cell.id for run, _ in placed for result in run.cells)
    order = {name: place for place, name in enumerate(seen)}
    found = [_row(run, result, file) for run, file in merge.merge(placed) for result in run.cells]
    return sorted(found, key=lambda row: (row.run.machine.name, order[row.cell.id]))


def reference_of(row: Row, among: Sequence[Row]) -> Row | None:
    """The row whose picture is the right one: the reference in fp32, same work, same machine."""
    same = [
        other
        for other in among
        if other.is_reference
        and other.cell.precision == "fp32"
        and other.work == row.work
        and other.place == row.place
    ]
    return same[0] if same else None


def device_of(run: Run, device: str) -> str:
    """The chip behind a device's name."""
    return run.machine.cpu if device == "cpu" else (run.machine.gpu or device)


def _row(run: Run, result: CellResult, file: Path) -> Row:
    place = f"{run.machine.name} {result.cell.device}"
    key = re.sub(r"[^\w.-]+", "-", f"{run.machine.name}-{result.cell.id}")
    return Row(key, place, run, result, file, figures.of(result, run.ceilings))
