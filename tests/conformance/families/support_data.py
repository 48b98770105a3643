"""docs/support.json: what became of each case on each backend, in which run, on which versions.

A run replaces the cells that it ran and leaves the others; a case that no longer exists is dropped,
and so is a run that no cell names any more. docs/support.md is rendered from this file alone
(`page.py`), and both are written together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sdbackends.errors import ResultsError
from sdbackends.matrix.store import replace
from tests.conformance.families.catalog import Case

#: The columns of docs/support.md.
BACKENDS = ("torch", "compile", "jax", "oneflow")
DATA = Path(__file__).parents[3] / "docs" / "support.json"

#: The figures' names among the properties of a test's report.
WORST, PICTURE = "worst model, of max", "largest difference of 255"

#: "known": it failed, as a line of tests/conformance/known_failures says it does.
Outcome = Literal["passed", "known", "failed", "skipped"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(_Record):
    """A case on a backend.

    Attributes:
        run: the key of its run.
        worst: the worst model's largest difference from eager torch, of its largest value.
        picture: the largest difference of the pictures, of 255.
        reason: why it is no tick.
    """

    outcome: Outcome
    run: str
    worst: float | None = None
    picture: float | None = None
    reason: str = ""


class Row(_Record):
    """A case: `test` is the function that judges it, `title` its family's, as users know it."""

    id: str
    test: str
    group: str
    feature: str
    title: str
    cells: dict[str, Cell] = {}

    def test_on(self, backend: str) -> str:
        """The test's id on that backend, as lines of tests/conformance/known_failures name it."""
        return f"{self.test}[{backend}-{self.id}]"


class Run(_Record):
    """On what it ran: the packages' versions, by their names."""

    python: str
    platform: str
    versions: dict[str, str]


class SupportData(_Record):
    """Runs by the time that they started at, and the cases in the order of their registration."""

    runs: dict[str, Run] = {}
    cases: tuple[Row, ...] = ()


def read(path: Path) -> SupportData:
    """The results in that file; an empty record where there is none yet.

    Raises:
        ResultsError: the file holds something else.
    """
    if not path.exists():
        return SupportData()
    try:
        return SupportData.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ResultsError(
            f"{path.name} is not what `nox -s support` writes",
            where=str(path),
            why=f"{key}: {first['msg']}" if key else first["msg"],
            fix="restore it (git checkout), or remove it and run everything again",
        ) from None


def write(data: SupportData, path: Path) -> None:
    """Put the results there in one step."""
    fields = data.model_dump(mode="json", exclude_defaults=True)
    lines = [_json(key) + ": " + _json(run) for key, run in fields.pop("runs", {}).items()]
    cases = [_json(row) for row in fields.pop("cases", ())]
    assert not fields, fields
    # A line for each case: what changed is seen in a diff.
    text = ",\n".join
    replace(path, f'{{"runs": {{\n{text(lines)}\n}},\n"cases": [\n{text(cases)}\n]}}\n')


def merge(
    data: SupportData,
    cases: Iterable[Case],
    started: str,
    run: Run,
    done: Mapping[str, Mapping[str, Cell]],
) -> SupportData:
    """The record of these cases, with what a run did, by the case's id and the backend."""
    known = {row.id: row.cells for row in data.cases}
    rows = []
    for case in cases:
        cells = {**known.get(case.id, {}), **done.get(case.id, {})}
        rows.append(
            Row(
                id=case.id,
                test=test_of(case),
                group=case.group,
                feature=case.feature,
                title=case.family.title,
                cells={name: cells[name] for name in BACKENDS if name in cells},
            )
        )
    named = {cell.run for row in rows for cell in row.cells.values()}
    runs = {**data.runs, started: run}
    return SupportData(runs={key: runs[key] for key in sorted(named)}, cases=tuple(rows))


def test_of(case: Case) -> str:
    """The test that judges the cases of its room: `cases/plain.py` has `test_plain.py`."""
    room = case.room.rpartition(".")[2]
    return f"tests/conformance/families/test_{room}.py::test_{room}"


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False)
