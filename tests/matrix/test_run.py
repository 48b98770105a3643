"""The run: the file grows cell by cell, is resumed, survives Ctrl-C; and the bench beside it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from sdbackends.cli.app import app
from sdbackends.errors import UsageError
from sdbackends.matrix import cell_command, cell_runner, plan, run, store
from sdbackends.matrix.config import Matrix
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.results import (
    Agreement,
    Ceilings,
    Cell,
    CellResult,
    Machine,
    Outcome,
    Timings,
)
from sdbackends.matrix.results_writer import RunRequest
from sdbackends.matrix.run import Finished
from tests.matrix.test_plan import GOOD

HERE = Machine(name="here", system="x", python="3", cpu="x", cores=1, threads=1, memory_bytes=1)


@dataclass
class Workshop:
    """What stands in for the measuring: no process is started."""

    #: Backend and precision of each cell in the order of measuring; "+ …" where one beside it drew.
    log: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    interrupt_at: str = ""
    far: str = ""
    closed: int = 0

    def run(
        self, cell: Cell, *, folder: Path, repeats: int, reference: Any, **_: Any
    ) -> CellResult:
        name = f"{cell.backend} {cell.precision}"
        if name == self.interrupt_at:
            raise KeyboardInterrupt
        beside = f" + {reference.cell.backend} {reference.cell.precision}" if reference else ""
        self.log.append(name + beside + (f" x{repeats}" if repeats != 3 else ""))
        outcome = self.outcomes.get(name, "ok")
        if outcome != "ok":
            return CellResult(cell=cell, outcome=outcome, reason="it is so")
        folder.mkdir(parents=True)
        (folder / "cache").mkdir()
        Image.new("RGB", (8, 8), "red").save(folder / "picture.png")
        times = Timings(images=(0.5,) * repeats)
        return CellResult(cell=cell, outcome="ok", timings=times, picture="picture.png")

    def compare(self, truth: Path, own: Path, *_: Any) -> tuple[Agreement, str]:
        assert (truth / "picture.png").exists() and not (truth / "cache").exists()
        return Agreement(image_max=1), "too far" if self.far and self.far in own.name else ""


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    stands_in = Workshop()

    class Reference:
        def __init__(self, cell: Cell, **_: Any) -> None:
            self.cell = cell

        def close(self) -> None:
            stands_in.closed += 1

    monkeypatch.setattr(cell_runner.measuring, "run", stands_in.run)
    monkeypatch.setattr(cell_runner.agreement, "compare", stands_in.compare)
    monkeypatch.setattr(cell_runner, "Reference", Reference)
    monkeypatch.setattr(cell_runner, "refusal", lambda cell: None)
    monkeypatch.setattr(run, "refusal", lambda cell: None)
    monkeypatch.setattr(run.machine, "describe", lambda: HERE)
    monkeypatch.setattr(run.peak_probe, "ceilings", lambda: Ceilings(copy_bytes=1.0))
    return stands_in


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    (tmp_path / "mine.yaml").write_text(GOOD)
    return plan.load(tmp_path / "mine.yaml")


def go(matrix: Matrix, output: Path, **more: Any) -> Finished:
    cells = plan.cells(matrix, quick=True, **more.pop("narrow", {}))
    order = RunRequest(matrix, cells, quick=True, output=output, **more)
    return run.run(order, doing=lambda _: None, done=lambda _: None)


def outcomes(finished: Finished) -> list[str]:
    return [
        f"{one.cell.backend} {one.cell.precision} {one.outcome}"
        for one in store.read(finished.path).cells
    ]


def test_it_leaves_the_results_the_pictures_and_the_report(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    finished = go(matrix, tmp_path / "results", name="first")
    assert finished.path == tmp_path / "results/here/first.json"
    assert workshop.log == [
        "torch fp32",
        "jax fp32 + torch fp32",
        "torch bf16",
        "jax bf16 + torch bf16",
    ]
    assert workshop.closed == 2, "a reference lives as long as its work"
    read = store.read(finished.path)
    for result in read.cells:
        assert result.outcome == "ok" and result.agreement == Agreement(image_max=1)
        assert result.picture is not None and (finished.path.parent / result.picture).is_file()
    assert read.ceilings.copy_bytes == 1.0 and read.machine == HERE
    assert {path.suffix for path in finished.reports} == {".html", ".md", ".csv"}
    assert all(path.is_file() for path in finished.reports)


def test_a_cell_can_be_measured_without_the_reference_beside_it(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    terms = matrix.quick.terms.model_copy(update={"in_turn": False})
    quick = matrix.quick.model_copy(update={"terms": terms})
    go(matrix.model_copy(update={"quick": quick}), tmp_path / "results")
    assert workshop.log == ["torch fp32", "jax fp32", "torch bf16", "jax bf16"]
    assert workshop.closed == 0


def test_what_is_too_far_from_torch_is_wrong(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    workshop.far = "jax-bf16"
    finished = go(matrix, tmp_path)
    assert outcomes(finished)[-1] == "jax bf16 wrong"
    assert finished.run.cells[-1].reason == "too far" and finished.failed


def test_narrowed_to_another_backend_torch_is_drawn_once_to_compare_with(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    finished = go(matrix, tmp_path, narrow={"backends": ["jax"]})
    assert workshop.log == [
        "jax fp32 + torch fp32",
        "torch fp32 x0",
        "jax bf16 + torch bf16",
    ]
    assert outcomes(finished) == ["jax fp32 ok", "jax bf16 ok"]


def test_without_a_torch_that_works_nothing_is_called_right(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    workshop.outcomes = {"torch fp32": "crashed"}
    finished = go(matrix, tmp_path)
    assert outcomes(finished) == [
        "torch fp32 crashed",
        "jax fp32 crashed",
        "torch bf16 crashed",
        "jax bf16 crashed",
    ]
    assert finished.run.cells[1].reason == "nothing to compare it with: torch: it is so"
    assert workshop.log.count("torch fp32") == 1


def test_ctrl_c_keeps_what_is_done_and_resume_does_the_rest(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    workshop.interrupt_at = "torch bf16"
    begun = go(matrix, tmp_path)
    assert begun.interrupted and begun.reports
    assert outcomes(begun) == ["torch fp32 ok", "jax fp32 ok"]
    workshop.interrupt_at, workshop.log = "", []
    ended = go(matrix, tmp_path, resume=True)
    assert ended.path == begun.path and not ended.interrupted
    assert workshop.log == ["torch bf16", "torch fp32 x0", "jax bf16 + torch bf16"]
    assert len(outcomes(ended)) == 4 and ended.run.started == begun.run.started


def test_resume_tries_again_what_was_not_installed_and_nothing_else(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    workshop.outcomes = {"jax fp32": "not-installed", "jax bf16": "crashed"}
    go(matrix, tmp_path, name="one")
    workshop.outcomes, workshop.log = {}, []
    ended = go(matrix, tmp_path, name="one", resume=True)
    assert workshop.log[0] == "jax fp32 + torch fp32"
    assert outcomes(ended) == ["torch fp32 ok", "jax fp32 ok", "torch bf16 ok", "jax bf16 crashed"]


def test_backends_measured_one_after_the_other_are_one_run_in_the_order_of_the_plan(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    go(matrix, tmp_path, name="one", resume=True, narrow={"backends": ["jax"]})
    ended = go(matrix, tmp_path, name="one", resume=True, narrow={"backends": ["torch"]})
    assert outcomes(ended) == ["torch fp32 ok", "jax fp32 ok", "torch bf16 ok", "jax bf16 ok"]


def test_a_name_that_is_taken_and_a_run_of_another_kind_are_refused(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    path = go(matrix, tmp_path, name="one").path
    before = path.read_bytes()
    with pytest.raises(UsageError, match="there is a run one already"):
        go(matrix, tmp_path, name="one")
    order = RunRequest(matrix, plan.cells(matrix), False, tmp_path, name="one", resume=True)
    with pytest.raises(UsageError, match="a quick one"):
        run.run(order, doing=lambda _: None, done=lambda _: None)
    assert path.read_bytes() == before


def test_figures_of_two_commits_do_not_meet_in_one_file(
    workshop: Workshop, matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.machine, "commit", lambda: "one")
    go(matrix, tmp_path, name="x")
    monkeypatch.setattr(run.machine, "commit", lambda: "one+changes")
    go(matrix, tmp_path, name="x", resume=True)
    monkeypatch.setattr(run.machine, "commit", lambda: "two")
    with pytest.raises(UsageError, match="measured at one, this is two"):
        go(matrix, tmp_path, name="x", resume=True)


def test_a_cut_off_file_is_refused_and_left_as_it_is(
    workshop: Workshop, matrix: Matrix, tmp_path: Path
) -> None:
    path = go(matrix, tmp_path, name="one").path
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(UsageError):
        go(matrix, tmp_path, name="one", resume=True)
    assert len(path.read_bytes()) == 99


@pytest.fixture
def command(workshop: Workshop, matrix: Matrix, tmp_path: Path) -> list[str]:
    return ["matrix", "--quick", "--file", str(tmp_path / "mine.yaml"), "-o", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("outcome", "interrupt", "code"),
    [
        ("ok", "", 0),
        ("unsupported", "", 0),
        ("not-installed", "", 0),
        ("wrong", "", 1),
        ("slow-limit", "", 1),
        ("ok", "jax bf16", 130),
    ],
)
def test_the_exit_code_says_how_it_went(
    workshop: Workshop, command: list[str], outcome: Outcome, interrupt: str, code: int
) -> None:
    workshop.outcomes, workshop.interrupt_at = {"jax fp32": outcome}, interrupt
    done = CliRunner().invoke(app, command)
    assert done.exit_code == code, done.output
    assert "results: " in done.output and "report.html" in done.output
    assert ("--resume --name" in done.output) == bool(interrupt)


def test_interrupted_before_its_first_cell_it_names_no_file(
    workshop: Workshop, command: list[str], tmp_path: Path
) -> None:
    workshop.interrupt_at = "torch fp32"
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 130 and "no cell was finished" in done.output
    assert "results:" not in done.output and "--resume" not in done.output
    assert not (tmp_path / "out").exists()


def test_the_list_shows_the_cells_and_runs_none(workshop: Workshop, command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--list", "--backend", "jax,torch", "--size", "64"])
    assert done.exit_code == 0 and not workshop.log
    lines = done.output.splitlines()
    assert [line.split()[1].split("/")[2] for line in lines] == ["torch", "jax", "torch", "jax"]
    (alone,) = (line.split()[1] for line in lines[3:])
    assert CliRunner().invoke(app, [*command, "--cell", alone]).exit_code == 0
    assert workshop.log == ["jax bf16 + torch bf16", "torch fp32 x0"]


@pytest.mark.parametrize("quick", [True, False])
def test_each_cells_command_selects_that_cell(
    workshop: Workshop, quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdbackends.matrix.cell_command.refusal", lambda cell: None)
    text = GOOD.replace("[embedded]", '["./a folder", embedded]').replace("[cpu]", "[auto, cuda]")
    (tmp_path / "my own.yaml").write_text(text)
    for file in (None, Path("my own.yaml"), tmp_path / "my own.yaml"):
        cells = plan.cells(plan.load(file), quick=quick)
        for cell in (cells[0], cells[-1]):
            words = shlex.split(cell_command.again(cell, quick=quick, file=file))
            assert ("--quick" in words) == quick
            done = CliRunner().invoke(app, [*words[1:], "--list"])
            assert done.output.split(maxsplit=1)[1].strip() == cell.id


def test_a_cell_of_another_machine_is_found_where_auto_is_another_device(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD.replace("[cpu]", "[auto]"))
    monkeypatch.setattr(plan.requirements, "device", lambda: "cpu")
    there = "stable_diffusion/embedded/jax/bf16/64x64/b1/s20/ddim/cuda"
    (cell,) = plan.cells(plan.load(tmp_path / "mine.yaml"), ids=[there])
    assert cell.id == there


def test_the_results_hold_the_command_of_each_cell(
    workshop: Workshop, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, [*command, "--name", "x"])
    first = store.read(tmp_path / "out/here/x.json").cells[0]
    assert first.command == f"sdbackends matrix --quick --file mine.yaml --cell {first.cell.id}"


def test_what_could_not_be_installed_is_a_line_of_the_results(
    workshop: Workshop, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = [*command, "--name", "x", "--resume"]
    refused = CellFailed("unsupported", "jax has no bf16")
    monkeypatch.setattr(run, "refusal", lambda cell: refused if cell.precision == "bf16" else None)
    words = ["--backend", "jax", "--not-installed", "there is no wheel for it"]
    done = CliRunner().invoke(app, [*into, *words])
    assert done.exit_code == 0 and not workshop.log
    done = CliRunner().invoke(app, [*into, "--backend", "torch"])
    assert done.exit_code == 0 and "2 ok" in done.output
    read = store.read(tmp_path / "out/here/x.json")
    assert [(one.outcome, one.reason) for one in read.cells] == [
        ("ok", ""),
        ("not-installed", "there is no wheel for it"),
        ("ok", ""),
        ("unsupported", "jax has no bf16"),
    ]
    assert read.ceilings.copy_bytes, "measured by the first one that measures anything"


def test_a_backend_is_not_blamed_for_another_ones_cells(
    workshop: Workshop, command: list[str], tmp_path: Path
) -> None:
    workshop.outcomes = {"jax fp32": "crashed"}
    into = [*command, "--name", "x", "--resume"]
    assert CliRunner().invoke(app, [*into, "--backend", "jax"]).exit_code == 1
    assert CliRunner().invoke(app, [*into, "--backend", "torch"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--backend", "jaxx"], "no backend 'jaxx'"),
        (["--backend", "auto"], "no backend 'auto'"),
        (["--backend", ","], "names none"),
        (["--pipeline", "sdxxl"], "no pipeline"),
        (["--precision", "fp3"], "no precision 'fp3'"),
        (["--size", "65"], "multiples of 8"),
        (["--cell", "stable_diffusion/embedded/jaxx/fp32/64x64/b1/s20/ddim/cpu"], "did you mean"),
        (["--cell", "x"], "there is no cell 'x'"),
        (["--pipeline", "taiyi"], "the matrix has no such cell"),
        (["--file", "nowhere.yaml"], "nowhere.yaml cannot be read"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_written(
    workshop: Workshop, command: list[str], tmp_path: Path, words: list[str], says: str
) -> None:
    done = CliRunner().invoke(app, [*command, *words])
    assert isinstance(done.exception, UsageError) and done.exception.exit_code == 2
    assert says in str(done.exception)
    assert not workshop.log and not (tmp_path / "out").exists()


def test_the_schema_is_written_for_editors() -> None:
    done = CliRunner().invoke(app, ["matrix", "--schema"])
    assert "full" in json.loads(done.stdout)["properties"]
