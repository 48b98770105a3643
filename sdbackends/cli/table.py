"""`sdbackends backends`: every backend, and whether it can run here."""

from __future__ import annotations

import json

import typer

from sdbackends import catalog
from sdbackends.cli import options
from sdbackends.errors import BackendNotReadyError
from sdbackends.machine import device


def backends(as_json: options.Json = False) -> None:
    """List the backends: engine, version, devices, precisions, ready or why not."""
    rows = [(backend, catalog.readiness(backend)) for backend in catalog.all()]
    if as_json:
        records = [
            {
                **backend.model_dump(mode="json"),
                "installed": state.installed,
                "ready": state.ready,
                "reasons": [{"why": lack.why, "mend": lack.mend} for lack in state.reasons],
            }
            for backend, state in rows
        ]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    _print(rows)


def _print(rows: list[tuple[catalog.Backend, catalog.Readiness]]) -> None:
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
        chosen = catalog.auto().name
    except BackendNotReadyError:
        chosen = "none is ready"
    console.print(f"\nauto on this machine ({device()}): {chosen}")
    if not all(state.ready for _, state in rows):
        console.print("`sdbackends doctor` says how to mend what is missing")


def _precisions(backend: catalog.Backend) -> str:
    """`fp32 bf16`; where they differ by device, `cpu: fp32, cuda: fp32 fp16`."""
    if isinstance(backend.precisions, tuple):
        return " ".join(backend.precisions)
    by_device = backend.precisions.items()
    return ", ".join(f"{device}: {' '.join(precisions)}" for device, precisions in by_device)
