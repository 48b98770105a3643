"""What a run writes while it goes: the file of results, anew after each cell, and its pictures.

The file is whole and true after each cell, so that Ctrl-C, a crash or a power cut loses the present
cell alone, and `--resume` has nothing but that file to read. Cells stand in it in the order of the
plan, in whatever order they were measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdbackends.matrix import cell_command, plan, store
from sdbackends.matrix.cell_runner import slug
from sdbackends.matrix.config import Matrix
from sdbackends.matrix.results import Cell, CellResult, Run


@dataclass(frozen=True)
class RunRequest:
    """What was asked for.

    Attributes:
        name: of the run; None: the time, or with `resume` the newest run.
        file: of the matrix; None: the one that comes along.
        absent: why none of the cells can be measured; they are entered with it, not-installed.
        logs: where the log's end of each cell that is not ok is kept; None: nowhere.
    """

    matrix: Matrix
    cells: tuple[Cell, ...]
    quick: bool
    output: Path
    name: str | None = None
    resume: bool = False
    file: Path | None = None
    absent: str = ""
    logs: Path | None = None


class ResultsWriter:
    """The file of results, written anew after each cell, and the pictures beside it."""

    def __init__(self, path: Path, so_far: Run, order: RunRequest) -> None:
        self.path = path
        self.run = so_far
        self._order = order
        # The order of the whole plan, also where one backend is measured after the other.
        whole = (*plan.cells(order.matrix, quick=order.quick), *order.cells)
        self._places = {cell.id: place for place, cell in enumerate(dict.fromkeys(whole))}

    def has(self, cell: Cell) -> bool:
        """Whether it needs no measuring; what was not installed then may be by now."""
        return any(
            result.cell == cell and result.outcome != "not-installed" for result in self.run.cells
        )

    def add(self, result: CellResult, drawn: bytes | None) -> None:
        """`drawn`: the cell's picture, a PNG."""
        if drawn is not None:
            picture = self.path.with_suffix("") / "pictures" / f"{slug(result.cell)}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(drawn)
            relative = picture.relative_to(self.path.parent).as_posix()
            result = result.model_copy(update={"picture": relative})
        command = cell_command.again(result.cell, quick=self._order.quick, file=self._order.file)
        result = result.model_copy(update={"command": command})
        others = (one for one in self.run.cells if one.cell != result.cell)
        last = len(self._places)
        cells = sorted((*others, result), key=lambda one: self._places.get(one.cell.id, last))
        self.run = self.run.model_copy(update={"cells": tuple(cells)})
        store.write(self.run, self.path)


def line(result: CellResult) -> str:
    text = f"{result.outcome:<14} {result.cell.id}"
    if result.timings.images:
        text += f"  {sorted(result.timings.images)[len(result.timings.images) // 2]:.3f} s"
    return f"{text}  ({result.reason})" if result.reason else text
