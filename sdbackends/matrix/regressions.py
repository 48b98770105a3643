"""What changed between two states of the matrix: faster, slower, righter or wronger, and how much.

Speeds are compared as ratios to the reference that was timed in turn, never in seconds: a machine
has slow days. A change is told where the samples cannot explain it and it is larger than what two
runs of the same code differ by; it is `beyond` where the thresholds allow no more of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdbackends.errors import ResultsError
from sdbackends.matrix import figures, merge
from sdbackends.matrix.results import Agreement, CellResult, Run, Tolerance

Kind = Literal["faster", "slower", "righter", "wronger"]
#: Of fewer samples nobody can say how much they scatter.
_FEWEST = 3


@dataclass(frozen=True)
class Thresholds:
    """How much worse is too much.

    Attributes:
        told: smaller changes of speed are not worth a line: processes of the same code differ so.
        slower: a speed may fall by this share. 10% is what two quick runs agree within.
        wronger: errors may grow so many times; but never beyond the tolerance, which is `wrong`.
        rounding: errors below this share of the tolerance are rounding, however they grow.
    """

    told: float = 0.05
    slower: float = 0.10
    wronger: float = 2.0
    rounding: float = 0.05


@dataclass(frozen=True)
class Change:
    """One thing about one cell. `beyond`: worse than the thresholds allow."""

    machine: str
    cell: str
    kind: Kind
    text: str
    beyond: bool

    def __str__(self) -> str:
        return f"{self.kind:<8} {self.cell} on {self.machine}: {self.text}"


@dataclass(frozen=True)
class Comparison:
    """`changes`: what is beyond the thresholds first. Then how many cells both have, the old alone
    and the new alone."""

    changes: tuple[Change, ...]
    both: int
    gone: int
    added: int

    @property
    def worse(self) -> int:
        return sum(change.beyond for change in self.changes)


def compare(
    old: Sequence[Run], new: Sequence[Run], thresholds: Thresholds | None = None
) -> Comparison:
    """Every change from `old` to `new`.

    Of several runs of one machine the newest that measured a cell counts (see `merge`).

    Raises:
        ResultsError: no cell of `new` was measured on the same machine in `old`.
    """
    thresholds = thresholds or Thresholds()
    before, after = _by_cell(old), _by_cell(new)
    both = [key for key in after if key in before]
    if not both:
        raise ResultsError(
            "the two have no cell in common",
            why=f"old: {_machines(old)}; new: {_machines(new)}",
            fix="compare results of the same machine and of the same cells",
        )
    changes = []
    for key in both:
        run, result = after[key]
        tolerance = run.tolerances.get(result.cell.precision)
        for kind, text, beyond in _changes(before[key][1], result, tolerance, thresholds):
            changes.append(Change(run.machine.name, result.cell.id, kind, text, beyond))
    changes.sort(key=lambda change: not change.beyond)
    shared = len(both)
    return Comparison(tuple(changes), shared, len(before) - shared, len(after) - shared)


_Found = tuple[Kind, str, bool]


def _changes(
    old: CellResult, new: CellResult, tolerance: Tolerance | None, thresholds: Thresholds
) -> Iterator[_Found]:
    if "not-installed" in (old.outcome, new.outcome):
        return  # that is the environment's doing, and says nothing of the engine
    if old.outcome != new.outcome and "ok" in (old.outcome, new.outcome):
        yield _outcome(old, new)
    if new.outcome == old.outcome == "ok":
        yield from _speed(old, new, thresholds)
        if old.agreement and new.agreement:
            yield from _errors(old.agreement, new.agreement, tolerance, thresholds)
            yield from _judged(old.agreement, new.agreement)


def _outcome(old: CellResult, new: CellResult) -> _Found:
    good = new.outcome == "ok"
    other = old.outcome if good else new.outcome
    text = f"was {old.outcome}, is {new.outcome}" + (f": {new.reason}" if new.reason else "")
    if other == "slow-limit":
        return ("faster", text, False) if good else ("slower", text, True)
    return ("righter", text, False) if good else ("wronger", text, True)


def _speed(old: CellResult, new: CellResult, thresholds: Thresholds) -> Iterator[_Found]:
    change = figures.change(old, new)
    if change is None:
        return
    kind: Kind = "faster" if change.value > 1 else "slower"
    # Of the factor and of its inverse, so that twice as slow weighs as much as twice as fast.
    share = abs(change.value - 1) if kind == "faster" else abs(1 / change.value - 1)
    if change.low <= 1 <= change.high or share < thresholds.told:
        return
    first, second = figures.ratio(old), figures.ratio(new)
    assert first is not None and second is not None  # else there was no change of them
    text = (
        f"{first.value:.2f} -> {second.value:.2f} times the reference's speed, "
        f"x{change.value:.2f} ({change.low:.2f} to {change.high:.2f})"
    )
    doubt = _doubt(old, new)
    # A doubtful change is told, but there is no verdict.
    beyond = kind == "slower" and change.value < 1 - thresholds.slower and not doubt
    yield kind, text + doubt, beyond


def _doubt(old: CellResult, new: CellResult) -> str:
    if old.busy or new.busy:
        return "; on a busy machine: no verdict"
    fewest = min(len(one) for cell in (old, new) for one in (cell.interleaved, cell.timings.images))
    return "; of too few samples: no verdict" if fewest < _FEWEST else ""


def _errors(
    old: Agreement, new: Agreement, tolerance: Tolerance | None, thresholds: Thresholds
) -> Iterator[_Found]:
    allowed = tolerance.part_max_relative if tolerance else 0.0
    for part in old.parts.keys() & new.parts.keys():
        before, after = old.parts[part].max_relative, new.parts[part].max_relative
        if max(before, after) > allowed * thresholds.rounding:
            found = _grown(before, after, thresholds)
            if found:
                yield found[0], f"{part}: error {before:.2g} -> {after:.2g}", found[1]
    least = tolerance.min_psnr if tolerance and tolerance.min_psnr else 0.0
    first, second = _noise(old.psnr), _noise(new.psnr)
    if max(first, second) > _noise(least) * thresholds.rounding:
        found = _grown(first, second, thresholds)
        if found and old.image_max is not None and new.image_max is not None:
            yield found[0], f"the picture: {_db(old.psnr)} -> {_db(new.psnr)}", found[1]


def _grown(before: float, after: float, thresholds: Thresholds) -> tuple[Kind, bool] | None:
    if after > before * thresholds.wronger:
        return "wronger", True
    return ("righter", False) if before > after * thresholds.wronger else None


def _judged(old: Agreement, new: Agreement) -> Iterator[_Found]:
    if old.judged is None or new.judged is None or old.judged == new.judged:
        return
    worse = new.judged < old.judged
    text = f"the judge reads {old.judged:.0%} -> {new.judged:.0%} of the prompt"
    yield "wronger" if worse else "righter", text, worse


def _noise(psnr: float | None) -> float:
    """The error's amplitude as a share of white; None: equal pictures."""
    return 0.0 if psnr is None else float(10 ** (-psnr / 20))


def _db(psnr: float | None) -> str:
    return "equal" if psnr is None else f"{psnr:.1f} dB"


def _by_cell(runs: Sequence[Run]) -> dict[tuple[object, ...], tuple[Run, CellResult]]:
    """By the machine, known by more than its name, and the cell."""
    newest = merge.merge((run, Path()) for run in runs)
    return {
        (*merge.identity(run.machine), result.cell.id): (run, result)
        for run, _ in newest
        for result in run.cells
    }


def _machines(runs: Sequence[Run]) -> str:
    cells = sum(len(run.cells) for run in runs)
    names = ", ".join(sorted({run.machine.name for run in runs})) or "no machine"
    return f"{cells} cells on {names}"
