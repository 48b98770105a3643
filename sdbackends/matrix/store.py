"""Files of results: read with clear refusals, written in one step or not at all.

A file that is cut off, that something else wrote, or that has another schema is refused with its
name and the fix. Writing replaces only an earlier state of the same run; anything else that lies
there stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdbackends.errors import ResultsError
from sdbackends.matrix.results import SCHEMA, Run

#: So many broken fields of a file are named; more help nobody.
_NAMED = 3


def write(run: Run, path: Path) -> None:
    """Put `run` at `path`: whole, or not at all.

    Raises:
        ResultsError: something else lies there, or the folder cannot be written.
    """
    if path.exists() and not _is_of_one_run(read(path), run):
        raise ResultsError(
            f"{path.name} holds another run and is not overwritten",
            where=str(path),
            fix="choose another name for the new run, or move the file away",
        )
    # Every figure is finite by then: NaN is no JSON, and no other program could read the file.
    data = run.model_dump(mode="json", by_alias=True)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text)
    except OSError as error:
        raise ResultsError(
            f"{path.name} cannot be written", where=str(path), why=error.strerror or str(error)
        ) from None


def read(path: Path) -> Run:
    """The run in `path`.

    Raises:
        ResultsError: the file is cut off, foreign, of another schema, or cannot be read.
    """
    data = _json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, int) or "cells" not in data or "machine" not in data:
        raise ResultsError(
            f"{path.name} is no results file of the matrix",
            where=str(path),
            why="it holds JSON of another kind",
            fix="name files that `sdbackends matrix` wrote: results/MACHINE/NAME.json",
        )
    if schema != SCHEMA:
        raise _other_schema(path, schema)
    try:
        return Run.model_validate(data)
    except ValidationError as error:
        raise _broken(path, error) from None


def _json(path: Path) -> Any:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ResultsError(
            f"{path.name} is no results file of the matrix",
            where=str(path),
            why="it is not text",
            fix="name files that `sdbackends matrix` wrote: results/MACHINE/NAME.json",
        ) from None
    except OSError as error:
        raise ResultsError(
            f"{path.name} cannot be read", where=str(path), why=error.strerror or str(error)
        ) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # What began well and ends in its middle is ours, and a part of it is gone.
        ends_early = not text.rstrip().endswith("}") or error.pos >= len(text.rstrip())
        cut_off = text.lstrip().startswith("{") and ends_early
        raise ResultsError(
            f"{path.name} is cut off" if cut_off else f"{path.name} is not JSON",
            where=str(path),
            why=str(error),
            fix="take it from where it was copied, or measure again: sdbackends matrix",
        ) from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, brackets in brackets without end.
        raise ResultsError(
            f"{path.name} is no results file of the matrix",
            where=str(path),
            why="it is nested too deeply" if isinstance(error, RecursionError) else str(error),
            fix="name files that `sdbackends matrix` wrote: results/MACHINE/NAME.json",
        ) from None


def _other_schema(path: Path, schema: int) -> ResultsError:
    older = schema < SCHEMA
    return ResultsError(
        f"{path.name} has {'an older' if older else 'a newer'} schema",
        where=str(path),
        why=f"it is schema {schema}, this sdbackends reads {SCHEMA}",
        fix="measure again: sdbackends matrix" if older else "update sdbackends",
    )


def _broken(path: Path, error: ValidationError) -> ResultsError:
    problems = error.errors()
    named = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:_NAMED]]
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return ResultsError(
        f"{path.name} breaks the schema of results",
        where=str(path),
        why="; ".join(named) + more,
        fix="it was edited or damaged: take the original, or measure again",
    )


def _is_of_one_run(first: Run, second: Run) -> bool:
    return (first.started, first.machine.name) == (second.started, second.machine.name)


def replace(path: Path, content: str | bytes) -> None:
    """Give the file this content in one step: a power cut leaves the old file or the new one.

    Raises:
        OSError: the folder or the disk does not take it.
    """
    path = path.resolve()  # a link stays one
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644  # mkstemp gives 0o600
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, mode)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
