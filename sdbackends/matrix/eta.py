"""How long a run will still take, as far as its finished cells tell.

The cells of a backend take about as long as each other, and building most of it; so the rest is
guessed from the finished cells of the same backend. Before each backend has been seen once there is
no guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sdbackends.matrix.results import Cell, CellResult


class EtaEstimator:
    """Knows what `finished` cells took, and what each further one does."""

    def __init__(self, finished: Iterable[CellResult] = ()) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        for result in finished:
            # What was not installed then says nothing of what it takes now.
            if result.outcome != "not-installed":
                self.saw(result)

    def saw(self, result: CellResult) -> None:
        self._seconds[result.cell.backend].append(result.seconds)

    def left(self, cells: Iterable[Cell]) -> float | None:
        """Seconds for `cells`; None while nobody can know."""
        total = 0.0
        for cell in cells:
            seen = self._seconds.get(cell.backend)
            if not seen:
                return None
            # A cell that is refused takes no time; the others of its backend do.
            started = [seconds for seconds in seen if seconds] or [0.0]
            total += sum(started) / len(started)
        return total

    def words(self, cells: Iterable[Cell]) -> str:
        """To stand behind what is at work now; empty while nobody can know."""
        seconds = self.left(cells)
        if seconds is None:
            return ""
        if seconds < 90:
            return f" · about {max(1, round(seconds / 10)) * 10} s left"
        if seconds < 90 * 60:
            return f" · about {round(seconds / 60)} min left"
        return f" · about {seconds / 3600:.1f} h left"
