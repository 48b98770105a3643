"""Run the cases of every family, and write docs/support.json and docs/support.md anew.

Exit code 0: every case that ran passed, or failed as tests/conformance/known_failures says it does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from sdbackends.catalog import backend_files
from sdbackends.errors import SdError, UsageError
from tests.conformance.families import page, support_data
from tests.conformance.families.recorder import Recorder

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]


def main(
    backend: Annotated[
        list[str] | None, typer.Option(metavar="A,B,…", help="Which backends; all four if none.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Cases by their id: 'sd15-*'.")
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only what the page has no tick or cross for.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Run nothing: the page anew from support.json.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes at a time; 0: in this one.")] = 2,
) -> None:
    """Draw every case with plain torch and with each backend, and write what came out."""
    try:
        if render:
            page.write(support_data.read(support_data.DATA), support_data.DATA.with_suffix(".md"))
            return
        code = run(_named(backend or ["torch,jax,compile,oneflow"]), only, missing, jobs)
    except SdError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    raise typer.Exit(code)


def run(backends: list[str], only: str | None, missing: bool, jobs: int) -> int:
    """pytest over the rooms of the cases; its exit code."""
    for name in backends:
        backend_files.require(name)
    wanted = ",".join(name if only is None else f"{name}={only}" for name in backends)
    # Not by files: the cases of one room are as many as those of all others.
    arguments = ["-q", "--no-header", "-m", "support", "-n", str(jobs)]
    arguments += ["--support-backends", wanted]
    for row in support_data.read(support_data.DATA).cases if missing else ():
        for name, cell in row.cells.items():
            if cell.outcome in ("passed", "known"):
                arguments += ["--deselect", row.test_on(name)]
    # What the C++ compiler made outlives this run: half a minute of it for every program.
    os.environ.setdefault("SD_TEST_INDUCTOR_CACHE", str(_ROOT / "out" / "support" / "inductor"))
    recorder = Recorder(
        support_data.DATA, backends, lambda line: print(line, file=sys.stderr, flush=True)
    )
    rooms = sorted(str(path.relative_to(_ROOT)) for path in _HERE.glob("test_*.py"))
    return int(pytest.main([*rooms, *arguments], plugins=[recorder]))


def _named(options: list[str]) -> list[str]:
    names = [name.strip() for option in options for name in option.split(",") if name.strip()]
    for name in names:
        if name not in support_data.BACKENDS:
            raise UsageError(
                f"docs/support.md has no backend {name!r}",
                where="--backend",
                fix=f"of: {', '.join(support_data.BACKENDS)}",
            )
    return names


if __name__ == "__main__":
    typer.run(main)
