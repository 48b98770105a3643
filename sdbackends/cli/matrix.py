"""`sdbackends matrix`: every cell of `matrix.yaml` that this environment can run, measured."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sdbackends.cli import packages
from sdbackends.cli.ray import spread
from sdbackends.errors import UsageError

if TYPE_CHECKING:
    from sdbackends.cli.ray import Spread
    from sdbackends.matrix.config import Matrix
    from sdbackends.matrix.ray.run import Gathered
    from sdbackends.matrix.results import Cell
    from sdbackends.matrix.results_writer import RunRequest
    from sdbackends.matrix.run import Finished

_INTERRUPTED = 130


def _several(metavar: str, help: str) -> Any:
    return typer.Option(metavar=metavar, help=help, show_default=False)


def matrix(
    backend: Annotated[list[str] | None, _several("A,B,…", "Only these backends.")] = None,
    pipeline: Annotated[list[str] | None, _several("A,B,…", "Only these pipelines.")] = None,
    precision: Annotated[list[str] | None, _several("A,B,…", "Only these precisions.")] = None,
    size: Annotated[list[str] | None, _several("WxH,…", "Only these: 512, 640x512.")] = None,
    cell: Annotated[list[str] | None, _several("ID", "Only this cell, as --list has it.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The `quick` part of the file instead of `full`.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the cells, and run none.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what the last run, or that of --name, has done.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results go.")
    ] = Path("results"),
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the run. Default: the time.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of sdbackends' matrix.yaml."),
    ] = None,
    not_installed: Annotated[
        str | None,
        typer.Option(
            metavar="WHY",
            help="Run none; enter them as not-installed, with the reason (nox does).",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the cells over the Ray cluster there: auto (the one that this machine is "
            "in), or HOST:PORT.",
            show_default=False,
        ),
    ] = None,
    accelerator: Annotated[
        list[str] | None,
        _several("A,B,…", "With --ray: each GPU cell once on each of these, as H100,A100."),
    ] = None,
    ray_env: Annotated[
        Literal["present", "pip"] | None,
        typer.Option(
            help="With --ray: what engines run in. present: what the nodes have installed. pip: "
            "Ray builds one for each backend, from its yaml.  [default: present]",
            show_default=False,
        ),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the end of the log of each cell that is not ok here.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the JSON Schema of matrix.yaml.")
    ] = False,
) -> None:
    """Measure speed and agreement of the backends: each cell in a process of its own.

    \b
    sdbackends matrix --quick --list     what would be measured, and what cannot be, and why
    sdbackends matrix --quick            the embedded models on this CPU, in some minutes
    sdbackends matrix --quick --backend torch,jax --pipeline taiyi
    sdbackends matrix --resume           go on with the newest run after Ctrl-C
    sdbackends matrix --cell ID          one cell alone, anew
    sdbackends matrix --file mine.yaml   a matrix of your own
    sdbackends matrix --ray auto         the cells on the nodes of this Ray cluster
    sdbackends matrix --ray auto --accelerator H100,A100 --backend torch,jax

    A cell is a pipeline's script, a backend, a precision, a size and so on; matrix.yaml lists them.
    Each is measured for speed in turn with torch, and for agreement with torch at fp32. The results
    are FOLDER/MACHINE/NAME.json; report.html, .md and .csv stand in FOLDER/MACHINE/NAME. Cells that
    this environment cannot run are in them with the reason: `nox -s matrix` makes an environment
    for each backend.

    Ctrl-C keeps what is done (exit code 130). Exit code 1: a cell is wrong, crashed, or was stopped
    at its limit; 2: something that you named is not accepted, and nothing was written.
    """
    from sdbackends.matrix import plan
    from sdbackends.matrix.config import schema as text

    if schema:
        typer.echo(text(), nl=False)
        return
    planned = plan.load(file)
    filters: dict[str, Any] = {
        "backends": _known(backend, "backend"),
        "pipelines": _known(pipeline, "pipeline"),
        "precisions": _known(precision, "precision"),
        "sizes": _known(size, "size"),
        "ids": cell or None,
    }
    if logs is not None and ray is not None:
        raise UsageError(
            "--logs keeps the logs of cells that run here",
            why="with --ray they run on the nodes of a cluster",
            fix="leave --logs out; `ray logs` has what the nodes printed",
        )
    with spread(ray, accelerator, ray_env) as cluster:
        device = cluster.device if cluster else None
        _known_cells(cell or (), planned, quick, device)
        cells = plan.cells(planned, quick=quick, device=device, **filters)
        if list_:
            _list(cells, here=cluster is None)
            return
        _need_cells(cells, quick)
        packages.need((*packages.REPORT, *packages.MATRIX), what="the matrix", extra="matrix")
        from sdbackends.matrix.results_writer import RunRequest

        absent = not_installed or ""
        order = RunRequest(planned, cells, quick, output, name, resume, file, absent, logs)
        with _ended_like_ctrl_c():
            finished = _with_progress(order, cluster)
    _say(finished)
    code = _INTERRUPTED if finished.interrupted else int(finished.failed)
    raise typer.Exit(code)


def _need_cells(cells: Sequence[Cell], quick: bool) -> None:
    if not cells:
        raise UsageError(
            "the matrix has no such cell",
            why="nothing is left of it after its excludes, and after --backend, --pipeline, "
            "--precision, --size and --cell",
            fix=f"`sdbackends matrix {'--quick ' if quick else ''}--list` shows the cells",
        )


def _known(given: Sequence[str] | None, axis: str) -> list[Any] | None:
    """The words of one option, each checked as in `matrix.yaml`; None: not given."""
    from sdbackends.matrix import config

    def precision(word: str) -> str:
        if word not in config.PRECISIONS:
            known = ", ".join(config.PRECISIONS)
            raise ValueError(f"there is no precision {word!r}; one of: {known}")
        return word

    checks: dict[str, Callable[[str], Any]] = {
        "backend": config.backend,
        "pipeline": config.pipeline,
        "precision": precision,
        "size": config.size,
    }
    if given is None:
        return None
    words = [word.strip() for item in given for word in item.split(",") if word.strip()]
    if not words:
        raise UsageError(f"--{axis} names none", fix="`sdbackends matrix --list` shows the cells")
    try:
        checked = [checks[axis](word) for word in words]
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        raise UsageError(what, where=f"--{axis}", fix=fix) from None
    return None if config.ALL in checked else checked


def _known_cells(ids: Sequence[str], planned: Matrix, quick: bool, device: str | None) -> None:
    """Nothing, when all of them are in that part of the matrix."""
    from difflib import get_close_matches

    from sdbackends.matrix import plan

    lacking = set(ids) - {
        cell.id for cell in plan.cells(planned, quick=quick, ids=ids, device=device)
    }
    if not lacking:
        return
    unknown = min(lacking)
    there = [cell.id for cell in plan.cells(planned, quick=quick, device=device)]
    near = get_close_matches(unknown, there, n=1)
    list_them = f"`sdbackends matrix {'--quick ' if quick else ''}--list` shows the cells"
    other_part = unknown in {
        cell.id for cell in plan.cells(planned, quick=not quick, device=device)
    }
    raise UsageError(
        f"there is no cell {unknown!r}",
        where=f"the {'quick' if quick else 'full'} part of the matrix",
        why=f"it is in the {'full' if quick else 'quick'} part" if other_part else "",
        fix=f"did you mean {near[0]}? {list_them}" if near and not other_part else list_them,
    )


def _list(cells: Iterable[Cell], *, here: bool) -> None:
    """Of cells that run elsewhere nobody knows here whether they can."""
    from sdbackends.matrix.cell_command import refusal

    for cell in cells:
        refused = refusal(cell) if here else None
        state = refused.outcome if refused else "ready" if here else "planned"
        typer.echo(f"{state:<14} {cell.id}" + (f"  ({refused.reason})" if refused else ""))


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """What nox and a batch system end a run with is a Ctrl-C, too: no script is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _with_progress(order: RunRequest, cluster: Spread | None) -> Finished | Gathered:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from sdbackends.matrix.run import run

    looks = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*looks, console=console) as progress:
        total = len(cluster.jobs(order.cells) if cluster else order.cells)
        task = progress.add_task("", total=total)

        def doing(what: str) -> None:
            progress.update(task, description=what)

        def done(line: str) -> None:
            progress.console.print(line, markup=False)
            progress.advance(task)

        if cluster is not None:
            return cluster.measure(order, doing=doing, done=done)
        return run(order, doing=doing, done=done)


def _say(finished: Finished | Gathered) -> None:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in finished.outcomes.items())
    typer.echo(f"\n{counts or 'no cell was finished'}")
    for path in finished.paths:
        typer.echo(f"results: {path}")
    for path in finished.reports:
        typer.echo(f"report:  {path}")
    if finished.interrupted and finished.paths:
        typer.echo(f"interrupted; the same command with --resume --name {finished.name} goes on")
