"""Which cells a slice of a few minutes measures: the order of their worth, and what fits.

A slice is one command on a machine that ends commands after some minutes. In come the cells and
what is known of their seconds; out goes the next batch of cells that one `sdbackends matrix` can
measure in the seconds that are left. Cells of one work stay together, because they share the
reference that draws beside them and the fp32 picture that they are held against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sdbackends.matrix.results import Cell

Values = tuple[object, ...]

SD15, SDXL = "full-random:sd15", "full-random:sdxl"
#: The most telling cells first. A cell belongs to the first slice whose axes all fit it.
SLICES: tuple[tuple[str, Mapping[str, Values]], ...] = (
    ("SD 1.5, bf16", {"model": (SD15,), "precision": ("bf16",), "batch": (1,)}),
    ("SDXL, bf16", {"model": (SDXL,), "precision": ("bf16",), "batch": (1,)}),
    ("SD 1.5, fp16; embedded", {"model": (SD15, "embedded"), "batch": (1,)}),
    ("SD 1.5, bf16, batch 4", {"model": (SD15,), "precision": ("bf16",)}),
    ("SDXL, bf16, batch 4", {"model": (SDXL,), "precision": ("bf16",)}),
    ("SDXL, fp16", {"model": (SDXL,), "batch": (1,)}),
    ("fp16, batch 4, and the rest", {}),
)

#: Guesses, until a cell of the same model and backend has been measured: seconds of a cell (both
#: processes), and of what stands beside the first cell of a work (reference, fp32 picture).
_GUESSED = {
    SD15: {"torch": 45.0, "compile": 170.0, "jax": 150.0},
    SDXL: {"torch": 75.0, "compile": 260.0, "jax": 240.0},
}
_GUESSED_SMALL = {"torch": 30.0, "compile": 90.0, "jax": 60.0}
_BESIDE = {SD15: 60.0, SDXL: 90.0}
_BESIDE_SMALL = 30.0
#: A larger batch than the one that was measured: its pictures take longer, its building does not.
_LARGER_BATCH = 1.7
#: A cell that was cut off after some seconds needs at least so many times more.
_AFTER_CUT = 1.3
#: This share of a slice's seconds is as good as all of it.
_WHOLE = 0.8


@dataclass
class Known:
    """What earlier slices have told: seconds by cell id, of finished cells and of those cut off."""

    measured: dict[str, tuple[Cell, float]] = field(default_factory=dict)
    cut: dict[str, float] = field(default_factory=dict)

    def expected(self, cell: Cell) -> float:
        """Seconds that the cell will take, as far as anybody can say."""
        cut = self.cut.get(cell.id, 0.0) * _AFTER_CUT
        alike = [
            seconds * (_LARGER_BATCH if other.batch < cell.batch else 1.0)
            for other, seconds in self.measured.values()
            if (other.model, other.backend) == (cell.model, cell.backend) and seconds > 0
        ]
        guessed = _GUESSED.get(cell.model, _GUESSED_SMALL).get(cell.backend, 120.0)
        return max(cut, max(alike, default=guessed * (_LARGER_BATCH if cell.batch > 1 else 1.0)))


def title(cell: Cell) -> str:
    """The slice that the cell belongs to."""
    values = cell.model_dump()
    return next(
        name
        for name, axes in SLICES
        if all(values[axis] in accepted for axis, accepted in axes.items())
    )


def titles() -> tuple[str, ...]:
    """All slices in their order."""
    return tuple(name for name, _ in SLICES)


def ordered(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """By slice; within one as they came."""
    places = {name: place for place, name in enumerate(titles())}
    return tuple(sorted(cells, key=lambda cell: places[title(cell)]))


def next_batch(
    left: Sequence[Cell], seconds: float, known: Known, *, fresh: bool
) -> tuple[Cell, ...]:
    """The first cell that fits into `seconds`, with those of its slice and work that fit as well.

    `fresh`: this slice has measured nothing yet. Then its first cell is tried even where it is not
    expected to fit, unless it was cut off after a whole slice before.
    """
    for first in left:
        needs = beside(first) + known.expected(first)
        cut = known.cut.get(first.id)
        had_a_whole_slice = cut is not None and beside(first) + cut > _WHOLE * seconds
        if needs > seconds and (not fresh or had_a_whole_slice):
            continue
        batch = {first}
        for other in left:
            alike = (title(other), _work(other)) == (title(first), _work(first))
            if alike and other not in batch and needs + known.expected(other) <= seconds:
                needs += known.expected(other)
                batch.add(other)
        return tuple(cell for cell in left if cell in batch)
    return ()


def beside(cell: Cell) -> float:
    """Seconds of what stands beside the first cell of a work."""
    return _BESIDE.get(cell.model, _BESIDE_SMALL) * (_LARGER_BATCH if cell.batch > 1 else 1.0)


def _work(cell: Cell) -> Values:
    return tuple(cell.model_dump(exclude={"backend"}).values())
