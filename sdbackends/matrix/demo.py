"""The demo: every prompt of `matrix.yaml` on every backend, each as a person would run it.

A cell is one process of a plain script from `pipelines/` under the shim. It draws its picture
twice; the second time is the steady one, without loading and building. Out come `Cell`s with the
picture, the seconds and the largest difference from the first backend's picture.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image, ImageChops
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdbackends.errors import CatalogError
from sdbackends.launch import start
from sdbackends.launch.pipeline_scripts import pipeline_script
from sdbackends.launch.start import Choices
from sdbackends.paths import matrix_file
from sdbackends.utils import child_processes


class Row(BaseModel):
    """One prompt for one pipeline; `english` stands in where the prompt cannot be written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    prompt: str = Field(min_length=1)
    english: str | None = None


class Plan(BaseModel):
    """The `demo` part of `matrix.yaml`. The first backend is the one compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backends: tuple[str, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    guidance: float
    seed: int
    rows: tuple[Row, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Cell:
    """One row on one backend. A failed cell has an `error`, and no picture and no figures.

    `seconds`: of the second drawing. `difference`: the largest of any pixel and colour, in 1/255,
    from the reference's picture; None for the reference itself, or where that failed.
    """

    row: Row
    backend: str
    picture: Image.Image | None = None
    seconds: float | None = None
    difference: int | None = None
    error: str | None = None


def plan() -> Plan:
    """The demo that `matrix.yaml` describes.

    Raises:
        CatalogError: the file cannot be read or breaks the schema.
    """
    path = matrix_file()
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text("utf-8"))["demo"])
    except (OSError, yaml.YAMLError, ValidationError, TypeError, KeyError) as error:
        raise CatalogError(
            "the demo's plan cannot be read", where=str(path), why=str(error)
        ) from None


def draw(plan: Plan, folder: Path) -> Iterator[Cell]:
    """Every cell, row by row; the pictures' files are made in `folder`."""
    for row in plan.rows:
        reference: Image.Image | None = None
        for number, backend in enumerate(plan.backends):
            cell = _draw_cell(plan, row, backend, folder / f"{number}.png", reference)
            if number == 0:
                reference = cell.picture
            yield cell


def difference(first: Image.Image, second: Image.Image) -> int:
    """The largest difference of any pixel and colour, in 1/255; 255 when the sizes differ."""
    if first.size != second.size:
        return 255
    extrema = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).getextrema()
    return max(int(high) for _, high in extrema)  # type: ignore[misc]


def _draw_cell(
    plan: Plan, row: Row, backend: str, file: Path, reference: Image.Image | None
) -> Cell:
    command = [
        sys.executable,
        str(pipeline_script(row.pipeline)),
        f"--output={file}",
        f"--steps={plan.steps}",
        f"--guidance={plan.guidance}",
        f"--seed={plan.seed}",
        "--repeat=2",
        "--json",
        "--",
        row.prompt,
    ]
    # An engine that gives up must show as a failed cell, not as torch's picture in its column.
    choices = Choices(backend=backend, fallback="error")
    env = start.environment(choices, {**os.environ, "PYTHONIOENCODING": "utf-8"})
    done = child_processes.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    if done.returncode != 0:
        return Cell(row, backend, error=_reason(done.stderr, done.returncode))
    record = json.loads(done.stdout.splitlines()[-1])
    with Image.open(record["files"][0]) as opened:
        picture = opened.convert("RGB")
    return Cell(
        row,
        backend,
        picture,
        seconds=record["seconds"][-1],
        difference=None if reference is None else difference(reference, picture),
    )


def _reason(stderr: str, code: int) -> str:
    """What a person should read of a failed process: its last message, with why and fix."""
    lines = [line.removeprefix("sdbackends: ") for line in stderr.splitlines() if line.strip()]
    first = len(lines) - 1
    while first > 0 and lines[first].startswith((" ", "fix:")):
        first -= 1
    return "\n".join(lines[first:]) or f"it ended with exit code {code} and said nothing"


def chosen(plan: Plan, backends: Sequence[str]) -> Plan:
    """`plan` on these backends instead of its own."""
    return plan.model_copy(update={"backends": tuple(backends)})
