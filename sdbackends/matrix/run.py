"""The run: every cell of the plan, one after the other, and the file of results that grows with it.

Each cell is measured on the `bench` and written into the `book`; what this module adds is the name
of the file, what is resumed, and the report at the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.matrix import machine, probe, report, store
from sdbackends.matrix.bench import Bench
from sdbackends.matrix.book import Book, Order, line
from sdbackends.matrix.results import SCHEMA, Machine, Run

Say = Callable[[str], None]
#: What `machine.commit` says of a checkout with changes.
_CHANGED = "+changes"
#: Outcomes that are no failure.
_SKIPPED = ("ok", "unsupported", "not-installed")


@dataclass(frozen=True)
class Finished:
    """What the run left behind. `reports` is empty where there was nothing to report."""

    path: Path
    run: Run
    reports: tuple[Path, ...]
    interrupted: bool

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(result.outcome for result in self.run.cells)

    @property
    def failed(self) -> bool:
        return any(result.outcome not in _SKIPPED for result in self.run.cells)


def run(order: Order, *, doing: Say, done: Say) -> Finished:
    """Measure the cells of `order`.

    Args:
        doing: told what is at work now. done: told a line about each cell that is finished.

    Raises:
        UsageError: the name is taken, or the run to be resumed is of another kind.
    """
    doing("what this machine can do")
    here = machine.describe()
    path = _file(order, order.output / here.name)
    so_far = _to_resume(path, order) if path.exists() else _new(here, order)
    book = Book(path, so_far, order)
    interrupted = _measure(order, book, doing, done)
    reports: tuple[Path, ...] = ()
    if book.run.cells:
        doing("the report")
        written = report.write([book.run], path.with_suffix(""), [path])
        reports = (written.html, written.markdown, written.csv)
    return Finished(path, book.run, reports, interrupted)


def _new(here: Machine, order: Order) -> Run:
    return Run(
        schema=SCHEMA,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=machine.commit(),
        quick=order.quick,
        machine=here,
        ceilings=probe.ceilings(),
        reference=order.matrix.reference,
        tolerances={str(name): one for name, one in order.matrix.tolerances.items()},
        cells=(),
    )


def _to_resume(path: Path, order: Order) -> Run:
    """What is in the file, where the cells to come may stand beside it."""
    run = store.read(path)
    commit = machine.commit()
    why = ""
    if run.quick != order.quick:
        why = f"it is {'a' if run.quick else 'not a'} quick one"
    elif run.commit.removesuffix(_CHANGED) != commit.removesuffix(_CHANGED):
        why = f"it was measured at {run.commit}, this is {commit}"
    if why:
        raise UsageError(
            f"the run {path.stem} cannot be resumed",
            where=str(path),
            why=why,
            mend="resume it as it was begun, or leave --resume out for a new run",
        )
    return run


def _measure(order: Order, book: Book, doing: Say, done: Say) -> bool:
    """Every cell that the book lacks; whether Ctrl-C ended it."""
    try:
        with Bench(order.matrix, quick=order.quick) as bench:
            for cell in order.cells:
                if book.has(cell):
                    done(f"{'kept':<14} {cell.id}")
                    continue
                doing(cell.id)
                result = bench.measure(cell)
                book.add(result, bench.picture(result))
                done(line(result))
    except KeyboardInterrupt:
        return True
    return False


def _file(order: Order, folder: Path) -> Path:
    """The file of the run, new or to be resumed."""
    name = order.name or (_newest(folder) if order.resume else None)
    path = folder / f"{name or time.strftime('%Y-%m-%d-%H%M%S', time.gmtime())}.json"
    if path.exists() and not order.resume:
        raise UsageError(
            f"there is a run {path.stem} already",
            where=str(path),
            mend="--resume goes on with it; another --name begins a new one",
        )
    return path


def _newest(folder: Path) -> str | None:
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return files[-1].stem if files else None
