"""`sdbackends report`: results files of any number of machines as one page, and what changed."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.errors import UsageError

if TYPE_CHECKING:
    from sdbackends.matrix.regressions import Comparison, Thresholds
    from sdbackends.matrix.results import Run

_HERE = Path("results")


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE|FOLDER]...",
            help="Results files, folders of them, or patterns. Default: results",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The report's folder.")] = Path(
        "out/report"
    ),
    into: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Also put the short table between its lines <!-- matrix --> and "
            "<!-- /matrix -->, with a link to the report. Several: name it again.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Older results: say what changed since; exit code 1 if it got worse than the "
            "limits below allow.",
            show_default=False,
        ),
    ] = None,
    slower: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="With --against: a cell may lose so much of its speed. 10 is what two runs of the "
            "same code on a quiet machine shall agree within.",
        ),
    ] = 10,
    wronger: Annotated[
        float,
        typer.Option(
            metavar="TIMES",
            min=1,
            help="With --against: the error of a part or of the picture may grow so many times. "
            "Errors that are rounding, below a twentieth of the tolerance, do not count.",
        ),
    ] = 2,
    told: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="With --against: smaller changes of speed are not worth a line.",
        ),
    ] = 5,
) -> None:
    """Write report.html, report.md and report.csv from results of `sdbackends matrix`.

    \b
    sdbackends report                          everything under results/
    sdbackends report results/**/*.json        several machines in one report
    sdbackends report -o results/report --into README.md
    sdbackends report --against old.json new.json
    sdbackends report --against old.json new.json --slower 20

    A machine that was measured more than once counts with its newest results.

    Speeds are compared as ratios to the reference that was timed in turn with the cell, so a slow
    day of the machine is no change. A change is told where the raw samples cannot explain it (a
    bootstrap, 95%). A cell measured on a busy machine, or from fewer than three samples, is told
    and gets no verdict. A cell that was right and is not any more is always too
    much, unless its engine is not installed now.
    """
    from sdbackends.matrix import report as reports
    from sdbackends.matrix import store
    from sdbackends.matrix.regressions import Thresholds

    older = _files([against]) if against else []
    paths = [path for path in _files(results or [_HERE]) if path not in older]
    if not paths:
        raise UsageError(
            "there are no results besides those to compare with",
            where=str(against),
            fix="name the new results file: sdbackends report --against OLD NEW",
        )
    runs = [store.read(path) for path in paths]
    thresholds = Thresholds(told=min(told, slower) / 100, slower=slower / 100, wronger=wronger)
    # Before anything is written: what cannot be compared is a mistake of the words.
    found = _compared(older, runs, thresholds) if against else None
    written = reports.write(runs, output, paths, into or ())
    for path in (written.html, written.markdown, written.csv, *(into or ())):
        typer.echo(path)
    if found is not None:
        _say(found)
        raise typer.Exit(int(found.worse > 0))


def _compared(older: Sequence[Path], newer: Sequence[Run], thresholds: Thresholds) -> Comparison:
    from sdbackends.matrix import regressions as against
    from sdbackends.matrix import store

    return against.compare([store.read(path) for path in older], newer, thresholds)


def _say(found: Comparison) -> None:
    """One line a change, marked where it is worse than the thresholds allow."""
    typer.echo("")
    for change in found.changes:
        typer.echo(("!! " if change.beyond else "   ") + str(change))
    if not found.changes:
        typer.echo("nothing changed that the noise does not explain")
    if found.worse:
        typer.echo(f"\n!! {found.worse} changes are worse than the thresholds allow")
    typer.echo(f"\n{found.both} cells compared", nl=False)
    typer.echo(f", {found.gone} only in the old results, {found.added} only in the new")


def _files(named: Sequence[Path]) -> list[Path]:
    """The results files that these words mean, each once, in order.

    Raises:
        UsageError: a word means no file at all.
    """
    found: dict[Path, None] = {}
    for path in named:
        if path.is_dir():
            matching = sorted(path.rglob("*.json"))
        elif path.exists():
            matching = [path]
        else:
            # Shells leave a pattern as it is where nothing matches or `**` is unknown to them.
            matching = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if matching != [path]:
            # Whatever else has such a name, a pipe for one, was not written by a run.
            matching = [item for item in matching if item.is_file()]
        if not matching:
            raise UsageError(
                "there are no results to report on",
                where=str(path),
                fix="sdbackends matrix writes them: results/MACHINE/NAME.json",
            )
        found.update(dict.fromkeys(item.resolve() for item in matching))
    return list(found)
