"""`sdbackends demo`: the embedded models on several backends, side by side in one picture."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdbackends.errors import SdError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from sdbackends.matrix.demo import Cell, Plan


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

    Each picture is made by a process of its own, as you would run it. Exit code 1: one failed.
    """
    from sdbackends.catalog import backend_files
    from sdbackends.launch.pipeline_scripts import writable_picture
    from sdbackends.matrix.contact_sheet import contact_sheet
    from sdbackends.matrix.demo import chosen, plan
    from sdbackends.utils import termination

    writable_picture(output)
    planned = plan()
    if backends is not None:
        names = [name.strip() for name in backends.split(",") if name.strip()]
        if not names:
            raise UsageError("--backends names none", fix="--backends torch,jax")
        planned = chosen(planned, names)
    for name in planned.backends:
        backend_files.load(name)
    with termination.in_order():
        cells = _with_progress(planned)
    _save(contact_sheet(cells), output)
    _say(cells, output)
    failed = [cell for cell in cells if cell.error]
    raise typer.Exit(1 if failed else 0)


def _with_progress(planned: Plan) -> list[Cell]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sdbackends.matrix.demo import draw

    total = len(planned.rows) * len(planned.backends)
    looks = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    order = [f"{row.pipeline} on {name}" for row in planned.rows for name in planned.backends]
    cells: list[Cell] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*looks, console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task(order[0], total=total)
        for cell in draw(planned, Path(folder)):
            cells.append(cell)
            if cell.error:
                what = f"{cell.row.pipeline} on {cell.backend} failed: {cell.error}"
                progress.console.print(what, markup=False, highlight=False)
            following = order[len(cells)] if len(cells) < total else "done"
            progress.update(task, advance=1, description=following)
    return cells


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


def _say(cells: list[Cell], output: Path) -> None:
    for cell in cells:
        if cell.error is None:
            apart = "" if cell.difference is None else f", {cell.difference}/255 from the first"
            typer.echo(f"{cell.row.pipeline:<18} {cell.backend:<14} {cell.seconds:6.2f} s{apart}")
    typer.echo(f"\nThe contact sheet: {output.resolve()}\n\nWhat to try next:")
    if any(cell.error for cell in cells):
        typer.echo("  sdbackends doctor      (some pictures failed, see above)")
    typer.echo(
        '  sdbackends generate "a small green star on a white background" -b jax -o star.png'
    )
    typer.echo("  sdbackends backends")
    typer.echo('  eval "$(sd-mock jax)" && python your_script.py')
