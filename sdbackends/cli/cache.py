"""`sdbackends cache`: where compiled work is kept, how much, and clearing it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from sdbackends.catalog.cache import Kind, clear, contents
from sdbackends.cli import options
from sdbackends.settings import Settings


def cache(
    action: Annotated[Literal["show", "clear"], typer.Argument(help="What to do.")] = "show",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Clear without asking.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show or clear what is kept between runs: captured and compiled models.

    Clearing costs nothing but the time to build again. SD_CACHE_DIR says where it is.
    """
    folder = Settings.from_environment().cache_folder
    kinds = contents(folder)
    if action == "clear" and kinds:
        if not yes:
            typer.confirm(f"Remove {_total(kinds)} from {folder}?", abort=True, err=True)
        clear(folder)
        kinds = contents(folder)
    if as_json:
        record = {"folder": str(folder), "kinds": [dataclasses.asdict(kind) for kind in kinds]}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        _print(folder, kinds)


def _print(folder: Path, kinds: tuple[Kind, ...]) -> None:
    typer.echo(f"{folder}: {_total(kinds) if kinds else 'empty'}")
    for kind in kinds:
        typer.echo(f"  {kind.name:<10} {kind.files:>6} files {_size(kind.bytes):>10}")


def _total(kinds: tuple[Kind, ...]) -> str:
    files = sum(kind.files for kind in kinds)
    return f"{files} files, {_size(sum(kind.bytes for kind in kinds))}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
