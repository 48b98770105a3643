"""The run: every cell of the plan, one after the other, and the file of results that grows with it.

`CellRunner` measures each cell and `ResultsWriter` keeps it; what this module adds is the name of
the file, what is resumed, and the report at the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.matrix import machine, peak_probe, report, resume, store
from sdbackends.matrix.cell_command import refusal
from sdbackends.matrix.cell_runner import CellRunner
from sdbackends.matrix.eta import EtaEstimator
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.results import SCHEMA, Ceilings, Cell, CellResult, Machine, Run
from sdbackends.matrix.results_writer import ResultsWriter, RunRequest, line

Say = Callable[[str], None]
#: Outcomes that are no failure.
SKIPPED = ("ok", "unsupported", "not-installed")


@dataclass(frozen=True)
class Finished:
    """What the run left behind.

    Attributes:
        reports: empty where there was nothing to report.
        asked: the cells that were asked for now; the file may hold more.
    """

    path: Path
    run: Run
    reports: tuple[Path, ...]
    interrupted: bool
    asked: tuple[Cell, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def paths(self) -> tuple[Path, ...]:
        """Empty where no cell was finished: then no file was written."""
        return (self.path,) if self.run.cells else ()

    @property
    def outcomes(self) -> Counter[str]:
        """Of the cells that were asked for."""
        asked = set(self.asked)
        return Counter(one.outcome for one in self.run.cells if one.cell in asked)

    @property
    def failed(self) -> bool:
        return any(outcome not in SKIPPED for outcome in self.outcomes)


def run(order: RunRequest, *, doing: Say, done: Say) -> Finished:
    """Measure the cells of `order`.

    Args:
        doing: told what is at work now. done: told a line about each cell that is finished.

    Raises:
        UsageError: the name is taken, or the run to be resumed is of another kind.
    """
    doing("what machine this is")
    run = new_run(machine.describe(), order)
    path = _file(order, order.output / run.machine.name)
    if path.exists():
        run = resume.resume(path, store.read(path), run)
    writer = ResultsWriter(path, run, order)
    interrupted = False
    if order.absent:
        _enter_absent(order, writer, done)
    else:
        if run.ceilings == Ceilings():
            doing("what this machine can do at most")
            writer.run = run.model_copy(update={"ceilings": peak_probe.ceilings()})
        interrupted = _measure(order, writer, doing, done)
    reports: tuple[Path, ...] = ()
    if writer.run.cells:
        doing("the report")
        written = report.write([writer.run], path.with_suffix(""), [path])
        reports = (written.html, written.markdown, written.csv)
    return Finished(path, writer.run, reports, interrupted, order.cells)


def new_run(here: Machine, order: RunRequest) -> Run:
    """A run on the machine `here`, without a cell and without the machine's ceilings."""
    return Run(
        schema=SCHEMA,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=machine.commit(),
        quick=order.quick,
        machine=here,
        ceilings=Ceilings(),
        reference=order.matrix.reference,
        tolerances={str(name): one for name, one in order.matrix.tolerances.items()},
        cells=(),
    )


def _measure(order: RunRequest, writer: ResultsWriter, doing: Say, done: Say) -> bool:
    """Every cell that the writer lacks; whether Ctrl-C ended it."""
    pace = EtaEstimator(writer.run.cells)
    try:
        with closing(CellRunner(order.matrix, quick=order.quick, logs=order.logs)) as bench:
            for place, cell in enumerate(order.cells):
                if writer.has(cell):
                    done(f"{'kept':<14} {cell.id}")
                    continue
                to_come = [one for one in order.cells[place:] if not writer.has(one)]
                doing(f"{cell.id}{pace.words(to_come)}")
                result = bench.measure(cell)
                writer.add(result, bench.picture(result))
                pace.saw(result)
                done(line(result))
    except KeyboardInterrupt:
        return True
    return False


def _enter_absent(order: RunRequest, writer: ResultsWriter, done: Say) -> None:
    """Lines of the results, so that nobody wonders where these cells are."""
    for cell in order.cells:
        if writer.has(cell):
            continue
        refused = refusal(cell)
        if refused is None or refused.outcome == "not-installed":
            refused = CellFailed("not-installed", order.absent)
        result = CellResult(cell=cell, outcome=refused.outcome, reason=refused.reason)
        writer.add(result, None)
        done(line(result))


def _file(order: RunRequest, folder: Path) -> Path:
    """The file of the run, new or to be resumed."""
    name = order.name or (_newest(folder) if order.resume else None)
    path = folder / f"{name or time.strftime('%Y-%m-%d-%H%M%S', time.gmtime())}.json"
    if path.exists() and not order.resume:
        raise UsageError(
            f"there is a run {path.stem} already",
            where=str(path),
            fix="--resume goes on with it; another --name begins a new one",
        )
    return path


def _newest(folder: Path) -> str | None:
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return files[-1].stem if files else None
