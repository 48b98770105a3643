"""Run a suite on a backend and judge it: `--help` has the options; exit code 0 or 1."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sdbackends.errors import SdError, UsageError
from sdbackends.launch import start
from tests.conformance.suites.catalog import SUITES
from tests.conformance.suites.run import Wish, run

_OUT = Path(__file__).parents[3] / "out" / "suites"


def main(
    suite: Annotated[str, typer.Argument(help=" or ".join(SUITES))],
    source: Annotated[Path, typer.Option(help="A checkout of that project.")],
    backend: Annotated[str, typer.Option(help="As SD_BACKEND has it.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A folder or file of its tests.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last run.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Keep the last run but its failures.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds for one test.")] = 300,
    device: Annotated[str, typer.Option(help="Where the suite puts its models.")] = "cpu",
    output: Annotated[Path, typer.Option(help="For journals and results.")] = _OUT,
) -> None:
    """Run another project's tests under plain torch and under a backend, and judge the second.

    Exit code 0: every test that plain torch passes passes, but those listed with a reason.
    """
    # As Ctrl-C does: the suite's processes are ended, and what is done is kept.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console()
    try:
        if suite not in SUITES:
            raise UsageError(f"there is no suite {suite!r}", fix=f"one of: {', '.join(SUITES)}")
        start.check_choice(backend)
        wish = Wish(
            suite=SUITES[suite],
            source=source,
            backend=backend,
            only=tuple(only or ()),
            keep="failures too" if resume else "passes" if again else "nothing",
            jobs=jobs,
            timeout=timeout,
            device=device,
            output=output,
        )
        code = 0 if run(wish, console).good else 1
    except SdError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        code = error.exit_code
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
