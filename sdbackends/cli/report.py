"""`sdbackends report`: results files of any number of machines as one page, and what changed."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.errors import UsageError

if TYPE_CHECKING:
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
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Put the first table between its lines <!-- matrix --> and <!-- /matrix -->.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Older results: say what changed since; exit code 1 if it got worse.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write report.html, report.md and report.csv from results of `sdbackends matrix`.

    \b
    sdbackends report                          everything under results/
    sdbackends report results/**/*.json        several machines in one report
    sdbackends report --into README.md
    sdbackends report --against old.json new.json

    A machine that was measured more than once counts with its newest results.
    """
    from sdbackends.matrix import report as reports
    from sdbackends.matrix import store

    older = [store.read(path) for path in _files([against])] if against else []
    left_out = set(_files([against])) if against else set()
    paths = [path for path in _files(results or [_HERE]) if path not in left_out]
    if not paths:
        raise UsageError(
            "there are no results besides those to compare with",
            where=str(against),
            mend="name the new results file: sdbackends report --against OLD NEW",
        )
    runs = [store.read(path) for path in paths]
    written = reports.write(runs, output, [path.parent for path in paths], into)
    for path in (written.html, written.markdown, written.csv):
        typer.echo(path)
    if against:
        _say_changes(older, runs)


def _say_changes(older: list[Run], newer: list[Run]) -> None:
    """One line a change; exit code 1 if one is worse than the thresholds allow."""
    from sdbackends.matrix import against

    changes = against.compare(older, newer)
    typer.echo("")
    for change in changes:
        typer.echo(("!! " if change.beyond else "   ") + str(change))
    worse = sum(change.beyond for change in changes)
    if not changes:
        typer.echo("nothing changed that the noise does not explain")
    elif worse:
        typer.echo(f"\n!! {worse} of {len(changes)} changes are worse than the thresholds allow")
    raise typer.Exit(1 if worse else 0)


def _files(named: list[Path]) -> list[Path]:
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
        if not matching:
            raise UsageError(
                "there are no results to report on",
                where=str(path),
                mend="sdbackends matrix writes them: results/MACHINE/NAME.json",
            )
        found.update(dict.fromkeys(item.resolve() for item in matching))
    return list(found)
