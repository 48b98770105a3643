"""`sdbackends backends`: every backend, and whether it can run here."""

from __future__ import annotations

import json

import typer

from sdbackends.catalog import backend_files
from sdbackends.catalog.requirements import device
from sdbackends.cli import options
from sdbackends.errors import BackendNotReadyError


def backends(as_json: options.Json = False) -> None:
    """List the backends: engine, version, devices, precisions, ready or why not."""
    rows = [(backend, backend_files.readiness(backend)) for backend in backend_files.all()]
    if as_json:
        records = [
            {
                **backend.model_dump(mode="json"),
                "installed": state.installed,
                "ready": state.ready,
                "reasons": [{"why": lack.why, "fix": lack.fix} for lack in state.reasons],
            }
            for backend, state in rows
        ]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    _print(rows)


def _print(rows: list[tuple[backend_files.Backend, backend_files.Readiness]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("backend", "engine", "installed", "devices", "precisions", "ready"):
        table.add_column(column, overflow="fold")
    for backend, state in rows:
        ready = "[green]yes" if state.ready else f"[red]no:[/red] {escape(state.reasons[0].why)}"
        table.add_row(
            f"[bold]{backend.name}",
            backend.engine,
            state.installed or "-",
            " ".join(backend.devices),
            _precisions(backend),
            ready,
        )
    console = Console()
    console.print(table)
    try:
        chosen = backend_files.auto().name
    except BackendNotReadyError:
        chosen = "none is ready"
    console.print(f"\nauto on this machine ({device()}): {chosen}")
    if not all(state.ready for _, state in rows):
        console.print("`sdbackends doctor` says how to fix what is missing")


def _precisions(backend: backend_files.Backend) -> str:
    """`fp32 bf16`; where they differ by device, `cpu: fp32, cuda: fp32 fp16`."""
    if isinstance(backend.precisions, tuple):
        return " ".join(backend.precisions)
    by_device = backend.precisions.items()
    return ", ".join(f"{device}: {' '.join(precisions)}" for device, precisions in by_device)
