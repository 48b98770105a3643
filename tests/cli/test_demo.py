"""`sdbackends demo`: its matrix, what is compared, the sheet, and what a failure looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from sdbackends.catalog import backend_files
from sdbackends.cli import packages
from sdbackends.cli.app import app
from sdbackends.errors import BackendNotReadyError, CatalogError, UnknownBackendError, UsageError
from sdbackends.launch.pipeline_scripts import defaults, pipeline_names
from sdbackends.matrix import cell_runner, demo, fonts, plan
from sdbackends.matrix.demo import Drawn
from sdbackends.matrix.results import Cell, CellResult, Outcome, Timings
from tests.matrix.test_plan import GOOD


def picture(size: int = 64, edge: int = 0) -> Image.Image:
    drawn = Image.new("RGB", (size, size), (39, 68, 221))
    ImageDraw.Draw(drawn).ellipse((12, 12, 52, 52), (221, 31, 27 - edge))
    return drawn


class Scripts:
    """What stands in for the processes of the cells: no script is started."""

    def __init__(self) -> None:
        self.pictures = {"torch": picture()}
        self.outcomes: dict[str, Outcome] = {}
        #: Backend, and on which terms it was measured.
        self.ran: list[tuple[str, dict[str, Any]]] = []

    def run(self, cell: Cell, *, folder: Path, **terms: Any) -> CellResult:
        self.ran.append((cell.backend, terms))
        outcome = self.outcomes.get(cell.backend, "ok")
        if outcome != "ok":
            return CellResult(cell=cell, outcome=outcome, reason="it broke")
        folder.mkdir(parents=True)
        self.pictures.get(cell.backend, picture()).save(folder / "picture.png")
        times = Timings(images=(0.25,) * terms["repeats"])
        return CellResult(cell=cell, outcome="ok", timings=times, picture="picture.png")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Scripts:
    stand_in = Scripts()
    monkeypatch.setattr(cell_runner.measuring, "run", stand_in.run)
    return stand_in


def drawn(*backends: str, doing: Callable[[str], None] = lambda _: None) -> list[Drawn]:
    """What the demo draws with `stable_diffusion`."""
    finished = demo.draw(demo.matrix(backends), doing=doing, done=lambda _: None)
    return [one for one in finished if one.result.cell.pipeline == "stable_diffusion"]


def test_the_plan_names_what_there_is() -> None:
    cells = plan.cells(demo.matrix())
    assert {cell.backend for cell in cells} == {"torch", "compile", "jax"}
    assert {cell.backend for cell in cells} <= set(backend_files.names())
    assert {cell.pipeline for cell in cells} == {"stable_diffusion", "taiyi"}
    assert {cell.pipeline for cell in cells} <= set(pipeline_names())
    assert {cell.model for cell in cells} == {"embedded"}


@pytest.mark.parametrize("text", ["", "demo: {rows: []}", "demo: [", "cells: {}", GOOD])
def test_a_broken_plan_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "matrix.yaml").write_text(text)
    for module in (plan, demo):
        monkeypatch.setattr(module, "matrix_file", lambda: tmp_path / "matrix.yaml")
    with pytest.raises(CatalogError, match=r"matrix"):
        demo.matrix()


def test_nothing_is_measured_that_the_demo_does_not_show(scripts: Scripts) -> None:
    drawn("torch", "jax")
    assert [backend for backend, _ in scripts.ran] == ["torch", "jax"] * 2
    for _, terms in scripts.ran:
        assert terms["repeats"] == terms["warmups"] == 1 and terms["reference"] is None
        assert not terms["count_flops"] and not terms["own_cache"]


@pytest.mark.parametrize(
    ("edge", "apart", "outcome"), [(0, 0, "ok"), (2, 2, "ok"), (7, 7, "wrong")]
)
def test_each_picture_is_compared_with_torchs(
    scripts: Scripts, edge: int, apart: int, outcome: str
) -> None:
    scripts.pictures["jax"] = picture(edge=edge)
    torch, jax = drawn("jax", "torch")
    assert (torch.seconds, torch.largest_difference, torch.is_reference) == (0.25, None, True)
    assert (jax.seconds, jax.largest_difference, jax.is_reference) == (0.25, apart, False)
    assert (torch.failed, jax.result.outcome) == (False, outcome)
    assert jax.right is not None and jax.right.tobytes() == picture().tobytes()


def test_torch_is_drawn_where_it_was_not_asked_for(scripts: Scripts) -> None:
    (jax,) = drawn("jax")
    assert jax.largest_difference == 0 and jax.right is not None
    assert [backend for backend, _ in scripts.ran] == ["jax", "torch"] * 2


def test_a_picture_of_another_size_is_wrong_and_has_no_map(scripts: Scripts) -> None:
    scripts.pictures["jax"] = picture(72)
    finished = drawn("torch", "jax")
    assert finished[1].result.outcome == "wrong" and "72x72 pixels" in finished[1].reason
    assert demo.sheet(finished).width > 2 * 256


def test_without_torchs_picture_the_others_are_shown_all_the_same(scripts: Scripts) -> None:
    scripts.outcomes["torch"] = "crashed"
    torch, jax = drawn("torch", "jax")
    assert torch.picture is None and torch.seconds is None and torch.reason == "it broke"
    assert jax.picture is not None and jax.right is None and jax.failed
    assert "nothing to compare it with: torch: it broke" in jax.reason


def test_a_backend_that_is_not_ready_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, scripts: Scripts
) -> None:
    def require(name: str) -> None:
        raise BackendNotReadyError(f"{name} is not ready", why="no such package", fix="get it")

    scripts.outcomes["oneflow"] = "not-installed"
    monkeypatch.setattr(demo.backend_files, "require", require)
    _, oneflow = drawn("torch", "oneflow")
    assert oneflow.failed and oneflow.reason.endswith("why: no such package\n  fix: get it")


def test_it_says_what_is_at_work_and_for_how_long(scripts: Scripts) -> None:
    said: list[str] = []
    drawn("torch", "jax", doing=said.append)
    assert [one.partition(" · ")[0] for one in said] == [
        "stable_diffusion on torch",
        "stable_diffusion on jax",
        "taiyi on torch",
        "taiyi on jax",
    ]
    assert "left" in said[2] and "left" not in said[0]


@pytest.mark.parametrize(
    ("pipeline", "has_chinese", "text"),
    [
        ("stable_diffusion", False, "stable_diffusion: a big red circle on a blue background"),
        ("taiyi", True, f"taiyi: {defaults('taiyi')[1]}"),
        ("taiyi", False, "taiyi: a big red circle on a blue background (asked in Chinese)"),
    ],
)
def test_a_prompt_is_written_so_that_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch, pipeline: str, has_chinese: bool, text: str
) -> None:
    monkeypatch.setattr(fonts, "chinese_font", lambda: Path("font.ttf") if has_chinese else None)
    assert demo.title(pipeline) == text


@pytest.mark.parametrize(("outcome", "code"), [("ok", 0), ("crashed", 1), ("not-installed", 1)])
def test_the_command_writes_the_sheet_and_tells_of_failures(
    tmp_path: Path, scripts: Scripts, outcome: Outcome, code: int
) -> None:
    scripts.outcomes["jax"] = outcome
    out = tmp_path / "new" / "sheet.png"
    done = CliRunner().invoke(app, ["demo", "-o", str(out), "--backends", "torch, jax"])
    assert done.exit_code == code
    assert Image.open(out).width > 2 * 256
    assert str(out) in done.stdout and "What to try next" in done.stdout
    assert ("stable_diffusion on jax failed: it broke" in done.stderr) == bool(code)
    assert ("0/255 from torch" in done.stdout) == (not code)


def test_a_wrong_picture_is_a_failure_and_is_shown(tmp_path: Path, scripts: Scripts) -> None:
    scripts.pictures["jax"] = picture(edge=20)
    words = ["demo", "-o", str(tmp_path / "sheet.png"), "--backends", "torch,jax"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "off by 20 of 255" in done.stderr
    assert "20/255 from torch" in done.stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--backends", "torch,jaxx"], UnknownBackendError),
        (["--backends", " , "], UsageError),
        (["-o", "nowhere.txt"], UsageError),
    ],
)
def test_wrong_words_are_refused_before_the_work(words: list[str], error: type) -> None:
    assert isinstance(CliRunner().invoke(app, ["demo", *words]).exception, error)


def test_a_missing_package_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MATRIX", ("numpy", "no_such_package"))
    done = CliRunner().invoke(app, ["demo"])
    assert "there is no no_such_package" in str(done.exception)
    assert "sdbackends[demo]" in str(done.exception)
