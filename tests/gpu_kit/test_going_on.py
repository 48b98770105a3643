"""What a later slice goes on with: failures are tried again, other machines get other files."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import measure
import pack
import pytest

from sdbackends.matrix import cell_runner, machine, plan, run, store
from sdbackends.matrix.results import Cell, CellResult
from sdbackends.matrix.results_writer import RunRequest

COMMIT = "0123456789abcdef"


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    return measure.cells(quick=True, device="cpu", only=None)


@pytest.fixture(scope="module")
def here():
    return machine.describe().model_copy(update={"driver": "580.159.03"})


def wrote(work: Path, name: str, here, commit: str, outcomes: dict[Cell, str]) -> Path:
    """A file of results in `work`."""
    matrix = plan.load(measure.FILE)
    made = run.new_run(here, RunRequest(matrix, (), True, work)).model_copy(
        update={
            "commit": commit,
            "cells": tuple(
                CellResult(cell=cell, outcome=outcome, reason="" if outcome == "ok" else "why")
                for cell, outcome in outcomes.items()
            ),
        }
    )
    path = work / here.name / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write(made, path)
    return path


def asked(cells: tuple[Cell, ...], tmp_path: Path) -> measure.Slice:
    return measure.Slice(cells, True, 0.0, tmp_path, tmp_path / "out")


def test_failures_that_may_be_fixed_are_left_and_tried_once_a_slice(cells, here, tmp_path):
    outcomes = ("ok", "not-installed", "crashed", "slow-limit", "wrong", "unsupported")
    given = dict(zip(cells, outcomes, strict=False))
    wrote(tmp_path, "one", here, COMMIT, given)
    lacking = [cell for cell, outcome in given.items() if outcome in measure._TO_TRY_AGAIN]
    work = asked(tuple(given), tmp_path)
    assert list(measure.left(work)) == lacking and measure._untried(work) == ()
    measure.forget_failures(tmp_path)
    assert list(measure._untried(work)) == lacking
    assert len(measure._results(tmp_path)) == len(given) - len(lacking)


def test_the_file_is_gone_on_with_where_commit_and_machine_are_the_same(cells, here, tmp_path):
    wrote(tmp_path, "one", here, f"{COMMIT}+changes", {cells[0]: "ok"})
    assert measure.file_name(tmp_path, here, COMMIT) == "one"


@pytest.mark.parametrize(
    ("changes", "commit", "ends"),
    [
        ({"driver": "580.159.04"}, COMMIT, "-0123456-580.159.04"),
        ({}, "fedcba9876543210", "-fedcba9-580.159.03"),
    ],
)
def test_another_driver_or_commit_begins_another_file(changes, commit, ends, cells, here, tmp_path):
    wrote(tmp_path, "one", here, COMMIT, {cells[0]: "ok"})
    now = here.model_copy(update=changes)
    assert measure.file_name(tmp_path, now, commit).endswith(ends)
    # What the earlier file has is not measured again.
    assert cells[0] not in measure.left(asked(cells, tmp_path))


def test_the_newest_result_of_a_cell_counts(cells, here, tmp_path):
    wrote(tmp_path, "one", here, COMMIT, {cells[0]: "crashed"})
    wrote(tmp_path, "two", here, "fedcba9", {cells[0]: "ok"})
    (found,) = measure._results(tmp_path)
    assert found.outcome == "ok"


def test_logs_of_failed_cells_and_what_the_machine_is_travel(tmp_path):
    pack.write_state(tmp_path, {})
    pack.describe(tmp_path)
    (tmp_path / pack.LOGS / "a-cell.txt").write_text("Traceback")
    packed = pack.pack(tmp_path, tmp_path / "out")
    pack.unpack(packed, tmp_path / "again")
    assert (tmp_path / "again" / pack.LOGS / "a-cell.txt").read_text() == "Traceback"
    assert "pytest" in (tmp_path / "again" / pack.LOGS / "pip-list.txt").read_text()


@pytest.mark.parametrize("outcome", ["ok", "crashed"])
def test_the_end_of_a_failed_cells_log_is_kept(outcome, cells, tmp_path, monkeypatch):
    """With the log of the process that starts from the cache, whose folder is removed."""
    cell = cells[0]

    def measured(cell: Cell, *, folder: Path, **_: object) -> CellResult:
        (folder / "cached").mkdir(parents=True)
        (folder / "log.txt").write_bytes(b"x" * 10 + b"first" * cell_runner._LOG_END)
        (folder / "cached" / "log.txt").write_text("second")
        return CellResult(cell=cell, outcome=outcome, reason="why" if outcome != "ok" else "")

    monkeypatch.setattr(cell_runner.measuring, "run", measured)
    monkeypatch.setattr(cell_runner.CellRunner, "_judged", lambda self, result, terms: result)
    monkeypatch.setattr(cell_runner.CellRunner, "_beside", lambda self, cell, terms: None)
    logs = tmp_path / "logs"
    with closing(cell_runner.CellRunner(plan.load(measure.FILE), quick=True, logs=logs)) as one:
        one.measure(cell)
    if outcome == "ok":
        assert not logs.exists()
        return
    (kept,) = logs.iterdir()
    text = kept.read_text()
    assert kept.stem == cell_runner.slug(cell) and "firstfirst" in text and text.endswith("second")
    assert len(text) <= cell_runner._LOG_END + len("second") + 1
