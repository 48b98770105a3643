"""`sdbackends env`: make, list and remove the Pythons of engines that need one of their own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.catalog import environments
from sdbackends.cli import options
from sdbackends.errors import NoHomeError
from sdbackends.utils import termination

if TYPE_CHECKING:
    from rich.status import Status

env = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Worker environments: Pythons of their own for engines that need another one.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `sdbackends env list` shows it.")]


@env.command()
def create(
    name: Name,
    python: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The CPython to make it with. Default: found by itself."),
    ] = None,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Make it anew, also when it is ready.")
    ] = False,
) -> None:
    """Make an environment: a fitting CPython is found, the pinned packages are installed and tried.

    \b
    sdbackends env create oneflow
    sdbackends env create oneflow --python /usr/bin/python3.10
    SD_ENV_DIR=/big/disk sdbackends env create oneflow    (set SD_ENV_DIR to use it, too)

    Nothing is installed into your own environment. Interrupted or failed, it leaves nothing
    behind; what pip downloaded stays in pip's cache.
    """
    from sdbackends.catalog.install import create as make

    before = time.monotonic()
    if not recreate and environments.interpreter(name):
        typer.echo(f"{name} is ready already, in {environments.folder(name)}")
        return
    with termination.in_order(), _Signs() as signs:
        made = make(name, signs, python=python, recreate=recreate)
    seconds = time.monotonic() - before
    typer.echo(f"{name} {environments.version(name)} is ready after {seconds:.0f} s: {made}")
    typer.echo("`sdbackends doctor` says what else its backends need")


@env.command("list")
def list_(as_json: options.Json = False) -> None:
    """List the environments: what is in them, where they stand, ready or why not."""
    records = []
    for environment in environments.all():
        lacks = environments.lacks(environment.name)
        records.append(
            {
                **environment.model_dump(mode="json"),
                "folder": _folder(environment.name),
                "installed": environments.version(environment.name),
                "ready": not lacks,
                "reasons": [{"why": lack.why, "fix": lack.fix} for lack in lacks],
            }
        )
    if as_json:
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    for record in records:
        version = f" ({record['installed']})" if record["installed"] else ""
        typer.echo(f"{record['name']}{version}: {'ready' if record['ready'] else 'needs help'}")
        typer.echo(f"  what: {record['summary']}; Python {record['python']}, {record['size']}")
        typer.echo(f"  in:   {record['folder'] or 'nowhere yet'}")
        for reason in record["reasons"]:
            typer.echo(f"  why: {reason['why']}\n  fix: {reason['fix']}")


@env.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """Remove an environment and everything in it.

    \b
    sdbackends env remove oneflow
    """
    from sdbackends.catalog.install import remove as clear

    size = environments.load(name).size
    place = environments.folder(name)
    if place.exists() and not yes:
        typer.confirm(f"Remove {place} ({size})?", abort=True, err=True)
    with _Signs() as signs:
        removed = clear(name, signs)
    typer.echo(f"{place} is removed" if removed else f"{place} is not there")


def _folder(name: str) -> str | None:
    """Where the environment stands or will stand; None: this user has no place for it."""
    try:
        return str(environments.folder(name))
    except NoHomeError:
        return None


class _Signs:
    """Progress on stderr: a spinner on a terminal, a line now and then in a log."""

    #: Seconds between two lines of a log.
    _pause = 15.0

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> _Signs:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False).status("")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def phase(self, text: str) -> None:
        self._line(text)

    def at_work(self, text: str) -> None:
        now = time.monotonic()
        text = f"{now - self._began:4.0f} s  {text}"
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(text, no_wrap=True, overflow="ellipsis"))
        elif now - self._said >= self._pause:
            self._line(f"  {text[:100]}")

    def _line(self, text: str) -> None:
        self._said = time.monotonic()
        # On a terminal rich moves the spinner out of the way: its console owns stderr then.
        if self._status is not None:
            self._status.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)
