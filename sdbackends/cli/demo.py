"""`sdbackends demo`: the embedded models on several backends, side by side in one picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.cli import packages
from sdbackends.errors import SdError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from sdbackends.matrix.config import Matrix
    from sdbackends.matrix.demo import Drawn


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to.")] = Path(
        "out/demo.png"
    ),
    backends: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Instead of those in matrix.yaml.", show_default=False),
    ] = None,
) -> None:
    """Draw with the embedded models on torch, compile and jax; one contact sheet shows all.

    \b
    sdbackends demo
    sdbackends demo --backends torch,jax -o out/two.png

    It is the `demo` part of matrix.yaml, run as `sdbackends matrix` runs its own: each picture by a
    process of its own, as you would run it, and compared with torch's. Exit code 1: one failed, or
    is too far from torch's.
    """
    from sdbackends.catalog import backend_files
    from sdbackends.launch.pipeline_scripts import writable_picture
    from sdbackends.utils import termination

    writable_picture(output)
    names = None
    if backends is not None:
        given = [name.strip() for name in backends.split(",") if name.strip()]
        if not given:
            raise UsageError("--backends names none", fix="--backends torch,jax")
        names = [backend_files.load(name).name for name in given]
    packages.need(packages.MATRIX, what="the demo", extra="demo")
    from sdbackends.matrix import demo

    planned = demo.matrix(names)
    with termination.in_order():
        finished = _with_progress(planned)
    _save(demo.sheet(finished), output)
    _say(finished, output)
    raise typer.Exit(1 if any(one.failed for one in finished) else 0)


def _with_progress(planned: Matrix) -> list[Drawn]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sdbackends.matrix import demo, plan

    looks = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*looks, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(plan.cells(planned)))

        def doing(what: str) -> None:
            progress.update(task, description=what)

        def done(one: Drawn) -> None:
            if one.failed:
                what = f"{one.name} failed: {one.reason}"
                progress.console.print(what, markup=False, highlight=False)
            progress.advance(task)

        finished = demo.draw(planned, doing=doing, done=done)
        doing("done")
        return finished


def _save(sheet: Image.Image, output: Path) -> None:
    """Whole or not at all: a full disk leaves an older sheet."""
    from PIL import Image

    from sdbackends.matrix.store import replace

    file = io.BytesIO()
    sheet.save(file, Image.registered_extensions()[output.suffix.lower()])
    try:
        replace(output, file.getvalue())
    except OSError as error:
        raise SdError(
            f"{output.name} cannot be written",
            where=str(output),
            why=error.strerror or str(error),
            fix="free some room, or name another file with --output",
        ) from None


def _say(finished: list[Drawn], output: Path) -> None:
    for one in finished:
        if one.seconds is not None:
            cell, apart = one.result.cell, one.largest_difference
            how_far = "" if apart is None else f", {apart}/255 from {one.reference}"
            typer.echo(f"{cell.pipeline:<18} {cell.backend:<14} {one.seconds:6.2f} s{how_far}")
    typer.echo(f"\nThe contact sheet: {output.resolve()}\n\nWhat to try next:")
    if any(one.failed for one in finished):
        typer.echo("  sdbackends doctor      (some pictures failed, see above)")
    typer.echo(
        '  sdbackends generate "a small green star on a white background" -b jax -o star.png'
    )
    typer.echo("  sdbackends backends")
    typer.echo('  eval "$(sd-mock jax)" && python your_script.py')
