"""`sdbackends report`: which files it takes, what it refuses, and what it says of older results."""

from __future__ import annotations

import csv
import re
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
from sdbackends.matrix.results import SCHEMA, Run
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
    with pytest.raises(UsageError, match=r"no results to report on.*\n.*fix: sdbackends matrix"):
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
    assert text.startswith("# A\\1\n<!-- matrix -->\n**Fastest right engine**")
    assert text.endswith("(out/report/report.md).\n\n<!-- /matrix -->\nthe end\n")
    assert "older" not in text and "**openvino** bf16" in text
    # Each right and wrong engine has its speed and its agreement; what is not there has no line.
    assert "| openvino fp32 | ✓ 2.08×<br>3.2e-06, 68 dB | ✗ 2.12×<br>2.1e-02, 27 dB |" in text
    assert "not-installed |" not in text


@pytest.mark.parametrize("text", ["", "<!-- /matrix -->\n<!-- matrix -->\n", "<!-- matrix -->\n"])
def test_a_document_without_a_place_for_it_stays_as_it_is(results: Path, text: str) -> None:
    Path("README.md").write_text(text, "utf-8")
    with pytest.raises(UsageError, match="no place for the table"):
        run("--into", "README.md")
    assert Path("README.md").read_text("utf-8") == text
    assert not Path("out").exists()


def test_the_committed_report_is_made_by_one_command_and_its_links_lead_somewhere(
    results: Path,
) -> None:
    readme, chinese = Path("README.md"), Path("docs/README.zh-CN.md")
    chinese.parent.mkdir()
    for document in (readme, chinese):
        document.write_text("<!-- matrix -->\n<!-- /matrix -->\n", "utf-8")
    made = []
    for _ in range(2):
        assert run("-o", "results/report", "--into", readme, "--into", chinese).exit_code == 0
        made.append(
            {
                path: path.read_bytes()
                for path in [readme, chinese, *Path("results/report").iterdir()]
            }
        )
    assert made[0] == made[1]
    for document in (readme, chinese, Path("results/report/report.md")):
        links = re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8"))
        assert links and all((document.parent / link).is_file() for link in links)
        assert not any(link.startswith("/") for link in links)
    assert "(results/report/report.md)" in readme.read_text("utf-8")


def test_a_document_keeps_its_line_ends_its_mode_and_its_link(results: Path) -> None:
    kept = Path("kept.md")
    kept.write_bytes(b"a\r\n<!-- matrix -->\r\n<!-- /matrix -->\r\nb\r\n")
    kept.chmod(0o600)
    Path("README.md").symlink_to(kept)
    assert run("--into", "README.md").exit_code == 0
    data = kept.read_bytes()
    assert Path("README.md").is_symlink() and kept.stat().st_mode & 0o777 == 0o600
    assert data.count(b"\r\n") == data.count(b"\n") > 20


def test_a_folder_that_cannot_be_written_is_said(results: Path) -> None:
    Path("taken").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be written(.|\n)*fix: name another folder"):
        run("-o", "taken")


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


@pytest.mark.parametrize(
    "damage", ["cut off", "is not JSON", "an older schema", "breaks the schema"]
)
@pytest.mark.parametrize("side", ["old", "new"])
def test_damaged_results_are_refused_and_nothing_is_written(
    results: Path, tmp_path: Path, side: str, damage: str
) -> None:
    good = next((results / "h100").glob("*.json"))
    text = good.read_text("utf-8")
    bad = tmp_path / "bad.json"
    damaged = {
        "cut off": text[: len(text) // 2],
        "is not JSON": f"here: {text}",
        "an older schema": text.replace(f'"schema": {SCHEMA}', '"schema": 0', 1),
        "breaks the schema": text.replace('"outcome": "ok"', '"outcome": "fine"', 1),
    }
    bad.write_text(damaged[damage], "utf-8")
    assert run("-o", "made").exit_code == 0
    before = {path: path.read_bytes() for path in Path("made").iterdir()}
    old, new = (bad, good) if side == "old" else (good, bad)
    with pytest.raises(ResultsError, match=f"bad.json.*{damage}") as error:
        run("--against", old, new, "-o", "made")
    assert error.value.exit_code == 2 and error.value.fix and str(bad) in error.value.where
    assert {path: path.read_bytes() for path in Path("made").iterdir()} == before


def test_what_has_nothing_in_common_is_refused_and_nothing_is_written(results: Path) -> None:
    with pytest.raises(ResultsError, match="no cell in common"):
        run("--against", "results/h100", "results/zen5-4c")
    assert not Path("out").exists()


def test_the_thresholds_are_options(results: Path, tmp_path: Path) -> None:
    old = next((results / "h100").glob("*.json"))
    new = written(tmp_path / "new", slower(store.read(old), 0.5))
    done = run("--against", old, new, "--slower", 60)
    assert done.exit_code == 0 and "!!" not in done.stdout
    assert done.stdout.count("slower ") == 6 and "cells compared" in done.stdout
    quiet = run("--against", old, new, "--slower", 60, "--told", 60)
    assert "nothing changed" in quiet.stdout
    strict = run("--against", new, old, "--slower", 0)
    assert strict.exit_code == 0 and strict.stdout.count("faster ") == 6


def test_older_results_among_the_new_ones_are_not_compared_with_themselves(
    results: Path, tmp_path: Path
) -> None:
    old = next((results / "h100").glob("*.json"))
    written(results / "h100" / "later", slower(store.read(old), 0.5))
    assert run("--against", old).exit_code == 1
    with pytest.raises(UsageError, match="no results besides those to compare with"):
        run("--against", "results", "results/h100")
