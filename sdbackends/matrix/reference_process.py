"""The reference backend as a living process: one picture of the same work whenever it is asked.

A cell draws a picture, the reference draws one, and so on: both see the same machine in the same
minute, and the cell's speed as a ratio means something where seconds alone would not.
"""

from __future__ import annotations

from pathlib import Path

from sdbackends.matrix import cell_command
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.results import Cell
from sdbackends.matrix.script_process import Limits, ScriptProcess

#: More pictures than anybody will ask for; the process is ended long before.
_FOR_EVER = 1_000_000


class Reference:
    """Draws `cell`, which is on the reference backend, until `close`; it starts at once."""

    def __init__(
        self, cell: Cell, *, folder: Path, limit_seconds: float, limit_bytes: int, warmups: int = 1
    ) -> None:
        self.cell = cell
        self.failed: CellFailed | None = cell_command.refusal(cell)
        self._script: ScriptProcess | None = None
        self._next = 0
        if self.failed is not None:
            return
        self._script = ScriptProcess(
            cell_command.command(cell, folder / "picture.png", repeat=_FOR_EVER),
            cell_command.environment(cell, measure=folder, cache=folder / "cache"),
            folder,
            Limits(limit_seconds, limit_bytes),
            in_turn=True,
        )
        try:
            for _ in range(max(1, warmups)):
                self.draw()
        except BaseException:  # Ctrl-C: nobody holds it yet who could close it
            self.close()
            raise

    def draw(self) -> float | None:
        """Seconds of one more picture; None once it has failed (`failed` says why)."""
        if self._script is None or self.failed is not None:
            return None
        try:
            seconds = self._script.draw(self._next)
        except CellFailed as ended:
            self.failed = ended
            return None
        self._next += 1
        return seconds

    def close(self) -> None:
        if self._script is not None:
            self._script.close()
