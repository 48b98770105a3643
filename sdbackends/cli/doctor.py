"""`sdbackends doctor`: what is missing, and the command that fixes it."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from sdbackends.catalog import shell_status
from sdbackends.catalog.doctor import DoctorReport, examine
from sdbackends.cli import options


def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[BACKEND]...", help="Default: all of them.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say what each backend lacks on this machine, and how to fix it.

    \b
    sdbackends doctor
    sdbackends doctor jax && sdbackends run --backend jax your_script.py

    Exit code 0: every backend named is ready; with none named: at least one is. 2: SD_BACKEND, or a
    name, is no backend. `sd-mock --status` says more about this shell.
    """
    report = examine(names or [])
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False))
    else:
        _print(report)
    raise typer.Exit(0 if report.well else 1)


def _print(report: DoctorReport) -> None:
    for diagnosis in report.backends:
        mark = "needs help" if diagnosis.lacks else "ready"
        version = f" ({diagnosis.installed})" if diagnosis.installed else ""
        typer.echo(f"{diagnosis.backend}{version}: {mark}")
        for lack in diagnosis.lacks:
            typer.echo(f"  why: {lack.why}\n  fix: {lack.fix}")
    for lack in report.machine:
        typer.echo(f"this machine: {lack.why}\n  fix: {lack.fix}")
    typer.echo(f"this shell: {shell_status.summary(report.shell)}")
    untouched = report.shell.backend is None and report.shell.shim is None
    for lack in () if untouched else report.shell.lacks:
        typer.echo(f"  why: {lack.why}\n  fix: {lack.fix}")
