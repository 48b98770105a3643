"""`sdbackends report`: which files it takes, what it refuses, and what it says of older results."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sdbackends.cli.report import report
from sdbackends.errors import ResultsError, UsageError
from sdbackends.matrix import store
from sdbackends.matrix.results import Run
from tests.matrix import samples

app = typer.Typer()
app.command()(report)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `results` with the files of two machines, in the current folder."""
    samples.write(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def machines(folder: Path) -> set[str]:
    with (folder / "report.csv").open(encoding="utf-8") as file:
        return {line["machine"] for line in csv.DictReader(file)}


def test_without_words_everything_under_results_is_one_report(results: Path) -> None:
    done = run()
    assert done.exit_code == 0
    assert done.stdout.split() == [f"out/report/report.{kind}" for kind in ("html", "md", "csv")]
    assert machines(Path("out/report")) == {"zen5-4c", "h100"}


@pytest.mark.parametrize(
    "word", ["results/h100", "results/h100/*.json", "results/**/2026-11-22.json"]
)
def test_a_folder_or_a_pattern_that_no_shell_expanded_is_taken(results: Path, word: str) -> None:
    assert run(word, "-o", "one").exit_code == 0
    assert machines(Path("one")) == {"h100"}


def test_a_file_named_twice_counts_once(results: Path) -> None:
    path = next(results.rglob("*.json"))
    assert run(path, path.parent, "-o", "one").exit_code == 0
    with Path("one/report.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 30


def test_pictures_are_found_from_wherever_the_command_runs(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("../results", "-o", "made").exit_code == 0
    assert Path("made/report.html").read_text("utf-8").count('<img src="data:') > 20


@pytest.mark.parametrize("word", ["nothing", "results/*.yaml", "/nowhere/*.json"])
def test_words_that_mean_no_file_are_refused(results: Path, word: str) -> None:
    with pytest.raises(UsageError, match=r"no results to report on.*\n.*mend: sdbackends matrix"):
        run(word)
    assert not Path("out").exists()


def test_a_mistake_is_exit_code_2_and_no_traceback(results: Path) -> None:
    command = [sys.executable, "-m", "sdbackends", "report", "nothing"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("sdbackends: there are no results to report on (nothing)\n")


def test_a_file_that_is_cut_off_leaves_the_older_report(results: Path) -> None:
    assert run("-o", "made").exit_code == 0
    before = Path("made/report.html").read_bytes()
    path = next(results.rglob("*.json"))
    path.write_text(path.read_text("utf-8")[:1000], encoding="utf-8")
    with pytest.raises(ResultsError, match="cut off"):
        run("-o", "made")
    assert Path("made/report.html").read_bytes() == before


def test_a_readme_gets_the_table_and_keeps_the_rest(results: Path) -> None:
    readme = Path("README.md")
    readme.write_text("# A\\1\n<!-- matrix -->\nolder\n<!-- /matrix -->\nthe end\n", "utf-8")
    for _ in range(2):
        assert run("--into", readme).exit_code == 0
    text = readme.read_text("utf-8")
    assert text.startswith("# A\\1\n<!-- matrix -->\n| pipeline |")
    assert text.endswith("|\n\n<!-- /matrix -->\nthe end\n")
    assert "older" not in text and "**openvino** bf16" in text


@pytest.mark.parametrize("text", ["", "<!-- /matrix -->\n<!-- matrix -->\n", "<!-- matrix -->\n"])
def test_a_document_without_a_place_for_it_stays_as_it_is(results: Path, text: str) -> None:
    Path("README.md").write_text(text, "utf-8")
    with pytest.raises(UsageError, match="no place for the table"):
        run("--into", "README.md")
    assert Path("README.md").read_text("utf-8") == text


def written(folder: Path, run: Run) -> Path:
    folder.mkdir()
    store.write(run, folder / "run.json")
    return folder / "run.json"


def slower(run: Run, share: float) -> Run:
    """The run, later, with each jax call that much longer."""
    cells = []
    for result in run.cells:
        if result.cell.backend == "jax":
            images = tuple(value * (1 + share) for value in result.timings.images)
            timings = result.timings.model_copy(update={"images": images})
            result = result.model_copy(update={"timings": timings})
        cells.append(result)
    return run.model_copy(update={"cells": tuple(cells), "started": "2027-01-01T00:00:00Z"})


def test_what_got_slower_is_told_and_is_exit_code_1(results: Path, tmp_path: Path) -> None:
    old = next((results / "h100").glob("*.json"))
    new = written(tmp_path / "new", slower(store.read(old), 0.5))
    done = run("--against", old, new)
    assert done.exit_code == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("!! slower")]
    assert len(lines) == 6 and all("/jax/" in line and "on h100" in line for line in lines)
    assert Path("out/report/report.html").exists()


def test_what_got_faster_or_stayed_is_exit_code_0(results: Path, tmp_path: Path) -> None:
    old = next((results / "h100").glob("*.json"))
    same = written(tmp_path / "same", slower(store.read(old), 0.0))
    assert "nothing changed" in run("--against", old, same).stdout
    faster = written(tmp_path / "faster", slower(store.read(old), -0.3))
    done = run("--against", old, faster)
    assert done.exit_code == 0 and done.stdout.count("faster") >= 6


def test_older_results_among_the_new_ones_are_not_compared_with_themselves(
    results: Path, tmp_path: Path
) -> None:
    old = next((results / "h100").glob("*.json"))
    written(results / "h100" / "later", slower(store.read(old), 0.5))
    assert run("--against", old).exit_code == 1
    with pytest.raises(UsageError, match="no results besides those to compare with"):
        run("--against", "results", "results/h100")
