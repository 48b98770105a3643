"""`sdbackends ops`: which operations a script's models need and a backend lacks, before a run."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sdbackends.cli import options, scripts
from sdbackends.engines import WITHOUT_GRAPHS
from sdbackends.errors import UsageError
from sdbackends.launch import start
from sdbackends.launch.start import Choices
from sdbackends.utils import child_processes, termination

if TYPE_CHECKING:
    from sdbackends.runtime.op_survey import SurveyedModel


def ops(
    context: typer.Context,
    backend: options.Backend = None,
    precision: options.PrecisionOption = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """List the operations that a script's models need and a backend lacks.

    \b
    sdbackends ops --backend jax your_script.py
    sdbackends ops -b unet=jax,vae=oneflow your_script.py --steps 2
    sdbackends ops -b jax --json your_script.py

    Each model is captured when the script calls it, not run: its operations are looked up, and the
    script gets zeros of the right shape instead of a result. A model that cannot be captured is
    named with the reason, and does run, on eager torch. Pictures (PIL) are not saved; all else
    that the script does, it does. What it writes on stdout comes on stderr. The report has each
    missing operation with every place in the models that calls it, and the file where a lowering
    goes; docs/adding-an-op.md shows how one is written.

    Exit code 0: nothing is missing; 1: something is, a model cannot be captured, the script failed
    or called no model; 2: wrong words.
    """
    arguments = list(context.args)
    scripts.check_script(arguments)
    choices = start.chosen(Choices(backend, precision, device, fallback="warn"), os.environ)
    _check_tables(choices)
    code, findings = _surveyed(choices, arguments)
    if as_json:
        typer.echo(json.dumps(_record(arguments, code, findings), indent=2, ensure_ascii=False))
    else:
        for line in _lines(code, findings):
            typer.echo(line)
    lacks = any(finding.missing or finding.obstacle for finding in findings)
    raise typer.Exit(1 if lacks or code or not findings else 0)


def _check_tables(choices: Choices) -> None:
    chosen = scripts.check_ready(choices)
    for one in chosen:
        if one.host != "torch":
            raise UsageError(
                f"{one.name} has no models to look into",
                why=f"{one.host} takes torch's place there, and runs the script as a whole",
                fix="sd-mock --check your_script.py",
            )
    if all(one.engine in WITHOUT_GRAPHS for one in chosen):
        raise UsageError(
            f"{', '.join(one.name for one in chosen)} has no table of operations",
            why="it runs the models' own code, whatever operations are in it",
            fix="name a backend that runs captured graphs: --backend jax",
        )


def _surveyed(choices: Choices, arguments: Sequence[str]) -> tuple[int, list[SurveyedModel]]:
    """The script's exit code, and what was found."""
    with termination.in_order(), tempfile.TemporaryDirectory(prefix="sdbackends-ops-") as folder:
        file = Path(folder, "findings")
        env = {**os.environ, "SD_SURVEY": str(file), "SD_VERIFY": "0", "SD_MEASURE": ""}
        sys.stdout.flush()
        command = [sys.executable, *arguments]
        environ = start.environment(choices, env)
        done = child_processes.run(command, alone=False, env=environ, stdout=sys.stderr)
        from sdbackends.runtime.op_survey import read  # imported late: it imports torch

        return done.returncode, read(file)


def _record(
    arguments: Sequence[str], code: int, findings: Sequence[SurveyedModel]
) -> dict[str, object]:
    return {
        "script": list(arguments),
        "exit_code": code,
        "models": [dataclasses.asdict(finding) for finding in findings],
    }


def _lines(code: int, findings: Sequence[SurveyedModel]) -> Iterator[str]:
    from sdbackends.engines.op_report import counted, merged, op_lines, place_lines

    by_model: dict[tuple[str, str], list[SurveyedModel]] = {}
    for finding in findings:
        by_model.setdefault((finding.model, finding.backend), []).append(finding)
    everything = merged(op for finding in findings for op in finding.missing)
    for (model, backend), own in by_model.items():
        missing = merged(op for finding in own for op in finding.missing)
        obstacles = dict.fromkeys(finding.obstacle for finding in own if finding.obstacle)
        lacks = f"{backend} lacks {counted(len(missing), 'op')}" if missing else ""
        yield f"{model}: {lacks or (f'not on {backend}' if obstacles else f'all on {backend}')}"
        yield from (f"  why: {obstacle}" for obstacle in obstacles)
        yield from (f"  {line}" for op in missing for line in op_lines(op))
    yield from place_lines(everything)
    if not findings:
        yield "no model of diffusers or transformers was called for inference"
    if code:
        yield f"the script ended with exit code {code}: models that it did not call are not here"
