"""The bench on which cells are measured: their folders, and the torch that they are held against.

Beside each cell lives a reference process that draws the same work in turn with it, for speed; and
the same work drawn by torch at fp32 is kept, for agreement. In comes a `Cell`, out goes its
`CellResult`, complete.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from sdbackends.matrix import agreement, plan, reaper
from sdbackends.matrix import cell as measuring
from sdbackends.matrix.cell_command import refusal
from sdbackends.matrix.config import CellSettings, Matrix
from sdbackends.matrix.reference_process import Reference
from sdbackends.matrix.results import Cell, CellResult, Part

#: Bytes of a log's end: a traceback with the whole text of a compiler's error.
_LOG_END = 64 * 1024


class CellRunner:
    """In a folder of its own, which is gone when it is closed.

    Args:
        logs: where the log's end of each cell that is not ok is kept; None: nowhere.
    """

    def __init__(self, matrix: Matrix, *, quick: bool, logs: Path | None = None) -> None:
        self._matrix, self._quick, self._logs = matrix, quick, logs
        self._place = tempfile.TemporaryDirectory(prefix="sdbackends-matrix-")
        reaper.keep_folder(Path(self._place.name))
        self._reference: Reference | None = None
        #: What became of the cells that others are compared with.
        self._truths: dict[Cell, CellResult] = {}
        #: Counted once for all cells of the same work.
        self._flops: dict[tuple[object, ...], dict[Part, float]] = {}

    def close(self) -> None:
        """End the reference beside the cells, and remove the folder."""
        if self._reference is not None:
            self._reference.close()
        self._place.cleanup()

    def folder(self, cell: Cell) -> Path:
        return Path(self._place.name, slug(cell))

    def picture(self, result: CellResult) -> bytes | None:
        """What the cell drew, as PNG; None where it drew nothing."""
        if result.picture is None:
            return None
        return (self.folder(result.cell) / result.picture).read_bytes()

    def right_picture(self, cell: Cell) -> bytes | None:
        """What `cell` was compared with, as PNG; None where there is none."""
        truth = self._truths.get(plan.truth_of(cell, self._matrix))
        return None if truth is None else self.picture(truth)

    def measure(self, cell: Cell) -> CellResult:
        """The cell's result with its agreement."""
        terms = plan.terms(self._matrix, cell, quick=self._quick)
        result = self._run(cell, terms, terms.repeats, self._beside(cell, terms))
        if cell == plan.truth_of(cell, self._matrix):
            self._truths[cell] = result
        if result.outcome == "ok":
            result = self._judged(result, terms)
        if result.outcome != "ok" and self._logs is not None:
            self._keep_log(cell, self._logs)
        return result

    def _keep_log(self, cell: Cell, logs: Path) -> None:
        """A cell that was refused has none."""
        places = (self.folder(cell) / name for name in ("log.txt", "log-cached.txt"))
        written = [path for path in places if path.is_file()]
        if written:
            logs.mkdir(parents=True, exist_ok=True)
            ends = [path.read_bytes()[-_LOG_END:] for path in written]
            (logs / f"{slug(cell)}.txt").write_bytes(b"\n".join(ends))

    def _run(
        self, cell: Cell, terms: CellSettings, repeats: int, reference: Reference | None
    ) -> CellResult:
        result = measuring.run(
            cell,
            folder=self.folder(cell),
            repeats=repeats,
            warmups=terms.warmups,
            limit_seconds=terms.seconds,
            limit_bytes=terms.memory,
            reference=reference,
            flops=self._flops.get(cell.work),
            count_flops=terms.flops,
            own_cache=terms.own_cache,
        )
        if result.flops:  # a cell that was refused has counted nothing
            self._flops[cell.work] = result.flops
        with contextlib.suppress(FileNotFoundError):  # the second process's log outlives its folder
            (self.folder(cell) / "cached" / "log.txt").rename(self.folder(cell) / "log-cached.txt")
        # Compiled programs of many cells take gigabytes; only what is compared later stays.
        for spent in ("cache", "cached"):
            shutil.rmtree(self.folder(cell) / spent, ignore_errors=True)
        return result

    def _beside(self, cell: Cell, terms: CellSettings) -> Reference | None:
        """The living reference for the cell's work; the reference has none beside itself."""
        wanted = cell.model_copy(update={"backend": self._matrix.reference})
        if self._reference is not None and self._reference.cell != wanted:
            self._reference.close()
            self._reference = None
        if not terms.in_turn or cell == wanted or refusal(cell) is not None:
            return None
        if self._reference is None:
            self._reference = Reference(
                wanted,
                folder=Path(self._place.name, "beside", slug(wanted)),
                limit_seconds=terms.seconds,
                limit_bytes=terms.memory,
                warmups=terms.warmups,
            )
        return self._reference

    def _judged(self, result: CellResult, terms: CellSettings) -> CellResult:
        truth = plan.truth_of(result.cell, self._matrix)
        if truth not in self._truths:
            # Narrowed to other cells, or resumed, the plan does not come by it: one drawing.
            once = terms.model_copy(update={"warmups": 1})
            self._truths[truth] = self._run(truth, once, 0, None)
        drawn = self._truths[truth]
        if drawn.outcome != "ok":
            reason = f"nothing to compare it with: {truth.backend}: {drawn.reason}"
            return result.model_copy(update={"outcome": drawn.outcome, "reason": reason})
        tolerance = self._matrix.tolerances[result.cell.precision]
        figures, reason = agreement.compare(
            self.folder(truth), self.folder(result.cell), tolerance, result.cell
        )
        outcome = "wrong" if reason else "ok"
        return result.model_copy(
            update={"agreement": figures, "outcome": outcome, "reason": reason}
        )


def slug(cell: Cell) -> str:
    """The cell's id as a file's name."""
    return re.sub(r"[^\w.+-]+", "-", cell.id)
