"""`sd-mock --status`: what the scripts of this shell run on, and what is missing for a backend."""

from __future__ import annotations

import dataclasses
import json
import os

import typer

from sdbackends.catalog import shell_status


def say(*, as_json: bool) -> int:
    """Print it; the exit code: 0 where the shell is switched, else 1."""
    status = shell_status.examine(os.environ)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(status), indent=2, ensure_ascii=False))
    else:
        for line in _lines(status):
            typer.echo(line)
    return 0 if status.switched else 1


def _lines(status: shell_status.Status) -> list[str]:
    python = status.python
    known = "cannot be started"
    if python is not None:
        known = f"{python.executable} (Python {python.version}, "
        known += f"sdbackends {python.sdbackends})" if python.sdbackends else "no sdbackends)"
    lines = [
        f"this shell: {shell_status.summary(status)}",
        f"  SD_BACKEND: {status.backend or 'not set'}",
        f"  shim on PYTHONPATH: {status.shim or 'no'}",
        f"  python: {known}",
    ]
    for lack in status.lacks:
        lines += [f"  why: {lack.why}", f"  fix: {lack.fix}"]
    return lines
