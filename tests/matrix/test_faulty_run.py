"""One whole run with engines that are wrong, crash, hang and leak, and two that are well."""

from __future__ import annotations

import csv

import pytest

from sdbackends.matrix.results import CellResult
from tests.matrix.small_matrix import SmallMatrix

pytestmark = pytest.mark.slow
BACKENDS = ("wrong", "crashing", "hanging", "leaking", "good", "torch")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallMatrix, int, str]:
    """The matrix, its exit code, and what it said."""
    matrix = SmallMatrix(tmp_path_factory.mktemp("run"), BACKENDS, limit=30)
    with matrix.start() as process:
        said, _ = process.communicate(timeout=400)
    return matrix, process.returncode, said


@pytest.fixture(scope="module")
def cells(finished: tuple[SmallMatrix, int, str]) -> dict[str, CellResult]:
    return {result.cell.backend: result for result in finished[0].run().cells}


@pytest.mark.parametrize(
    ("backend", "outcome", "words"),
    [
        ("wrong", "wrong", "unet"),
        ("crashing", "crashed", "it died of SIGABRT (drawing picture"),
        ("hanging", "slow-limit", "it hangs: no processor time in the last"),
        ("leaking", "out-of-memory", "its limit is 1.50 GB"),
    ],
)
def test_each_fault_is_named_as_what_it_is(
    cells: dict[str, CellResult], backend: str, outcome: str, words: str
) -> None:
    assert cells[backend].outcome == outcome
    assert words in cells[backend].reason


@pytest.mark.parametrize("backend", ["torch", "good"])
def test_the_rest_of_the_run_is_untouched(cells: dict[str, CellResult], backend: str) -> None:
    result = cells[backend]
    assert (result.outcome, result.reason) == ("ok", "")
    assert len(result.timings.images) == 2
    assert {part: len(samples) for part, samples in result.timings.parts.items()} == {
        "encode": 2,
        "step": 8,
        "decode": 2,
    }
    assert result.agreement is not None and result.agreement.image_max == 0
    assert set(result.flops) == {"encode", "step", "decode"}
    assert result.flops == cells["torch"].flops  # counted once for both
    assert len(result.interleaved) == (0 if backend == "torch" else 2)


def test_what_a_wrong_engine_drew_is_measured_and_shown(
    finished: tuple[SmallMatrix, int, str], cells: dict[str, CellResult]
) -> None:
    result = cells["wrong"]
    assert len(result.timings.images) == len(result.interleaved) == 2
    assert result.agreement is not None
    assert result.agreement.parts["text_encoder"].max_relative == 0  # it has no convolution
    assert 1e-3 < result.agreement.parts["unet"].max_relative < 0.5
    assert result.picture is not None
    assert (finished[0].reports().parent / result.picture).exists()


def test_the_run_says_that_it_failed_and_reports_every_cell(
    finished: tuple[SmallMatrix, int, str], cells: dict[str, CellResult]
) -> None:
    matrix, code, said = finished
    assert code == 1
    assert "2 ok" in said and "1 slow-limit" in said and "Traceback" not in said
    with (matrix.reports() / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["backend"]: row for row in csv.DictReader(file)}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        name: result.outcome for name, result in cells.items()
    }
    page = (matrix.reports() / "report.html").read_text("utf-8")
    assert all(result.reason in page for result in cells.values() if "'" not in result.reason)
    assert list(matrix.temporary.iterdir()) == []
