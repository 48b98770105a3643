"""`sdbackends demo`: the plan, the comparison, the contact sheet, and what a failure looks like."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from sdbackends.catalog import backend_files
from sdbackends.cli.app import app
from sdbackends.errors import CatalogError, UnknownBackendError, UsageError
from sdbackends.launch.pipeline_scripts import pipeline_names
from sdbackends.matrix import contact_sheet, demo
from sdbackends.matrix.demo import Cell, Plan, Row

ROW = Row(pipeline="stable_diffusion", prompt="a red circle")
CHINESE = Row(pipeline="taiyi", prompt="红色的圆形", english="a red circle, in Chinese")


def picture(colour: str = "red") -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


def test_the_plan_names_what_there_is() -> None:
    plan = demo.plan()
    assert set(plan.backends) <= set(backend_files.names())
    assert {row.pipeline for row in plan.rows} <= set(pipeline_names())
    assert all(row.prompt.isascii() or row.english for row in plan.rows)


@pytest.mark.parametrize("text", ["", "demo: {rows: []}", "demo: [", "cells: {}"])
def test_a_broken_plan_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "matrix.yaml").write_text(text)
    monkeypatch.setattr(demo, "matrix_file", lambda: tmp_path / "matrix.yaml")
    with pytest.raises(CatalogError, match=r"plan cannot be read"):
        demo.plan()


@pytest.mark.parametrize(
    ("other", "apart"), [((10, 20, 30), 0), ((10, 27, 30), 7), ((12, 20, 0), 30)]
)
def test_the_largest_difference_of_any_colour(other: tuple[int, int, int], apart: int) -> None:
    first, second = (Image.new("RGB", (8, 8), (10, 20, 30)) for _ in range(2))
    second.putpixel((3, 4), other)
    assert demo.difference(first, second) == apart


def test_pictures_of_two_sizes_differ_as_much_as_can_be() -> None:
    assert demo.difference(Image.new("RGB", (8, 8)), Image.new("RGB", (8, 9))) == 255


def test_each_cell_is_a_script_and_the_first_backend_is_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = {"torch": (9, 9, 9), "jax": (9, 11, 9)}

    def script(command: list[str], env: dict[str, str], **_: object) -> object:
        backend = env["SD_BACKEND"]
        if backend == "compile":
            noise = "Loading: 100%\nsdbackends: it failed\nsdbackends:   why: no\n"
            return subprocess.CompletedProcess(command, 1, "", noise)
        file = next(w for w in command if w.startswith("--output=")).partition("=")[2]
        Image.new("RGB", (8, 8), colours[backend]).save(file)
        told = f'{file}\n{{"files": ["{file}"], "seconds": [9.5, 0.25]}}\n'
        return subprocess.CompletedProcess(command, 0, told, "")

    monkeypatch.setattr(demo.child_processes, "run", script)
    plan = Plan(backends=("torch", "compile", "jax"), steps=2, guidance=4, seed=1, rows=(ROW,))
    torch, compiled, jax = demo.draw(plan, tmp_path)
    assert (torch.seconds, torch.difference, torch.error) == (0.25, None, None)
    assert compiled.picture is None and compiled.error == "it failed\n  why: no"
    assert (jax.seconds, jax.difference) == (0.25, 2)


def test_the_sheet_has_a_place_for_every_cell() -> None:
    cells = [
        Cell(ROW, "torch", picture("red"), 1.0),
        Cell(ROW, "jax", picture("lime"), 0.5, 1),
        Cell(CHINESE, "torch", picture("blue"), 1.0),
        Cell(CHINESE, "jax", error="sdbackends: " + "a long reason " * 40),
    ]
    drawn = contact_sheet.contact_sheet(cells)
    colours = [
        [drawn.getpixel((contact_sheet._left(c) + 9, contact_sheet._top(r) + 200)) for c in (0, 1)]
        for r in (0, 1)
    ]
    assert colours[0] == [(255, 0, 0), (0, 255, 0)]
    assert colours[1][0] == (0, 0, 255) and colours[1][1] != (0, 0, 0)
    assert drawn.height > contact_sheet._top(1) + 256 and drawn.width > contact_sheet._left(1) + 256


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "noise\nTraceback:\n  File x\na.BuildError: no\n  why: y\n",
            "a.BuildError: no\n  why: y",
        ),
        ("noise\nerror: the model\nfix: another\n", "error: the model\nfix: another"),
        ("  10%\n", "  10%"),
        ("", "it ended with exit code -9 and said nothing"),
    ],
)
def test_the_reason_is_the_last_message_of_the_process(stderr: str, reason: str) -> None:
    assert demo._reason(stderr, -9) == reason


@pytest.mark.parametrize(
    ("row", "has_chinese", "text"),
    [
        (ROW, False, "a red circle"),
        (CHINESE, True, "红色的圆形"),
        (CHINESE, False, "a red circle, in Chinese"),
        (CHINESE.model_copy(update={"english": None}), False, "taiyi"),
    ],
)
def test_a_prompt_is_written_so_that_it_can_be_read(row: Row, has_chinese: bool, text: str) -> None:
    assert contact_sheet.prompt_text(row, has_chinese) == text


def _cells(error: str | None) -> object:
    def draw(plan: Plan, folder: Path) -> Iterator[Cell]:
        for row in plan.rows:
            yield Cell(row, plan.backends[0], picture(), 1.0)
            for backend in plan.backends[1:]:
                shown = None if error else picture()
                yield Cell(row, backend, shown, 0.5, 0, error)

    return draw


@pytest.mark.parametrize(("error", "code"), [(None, 0), ("it broke", 1)])
def test_the_command_writes_the_sheet_and_tells_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str | None, code: int
) -> None:
    monkeypatch.setattr(demo, "draw", _cells(error))
    out = tmp_path / "new" / "sheet.png"
    done = CliRunner().invoke(app, ["demo", "-o", str(out), "--backends", "torch, jax"])
    assert done.exit_code == code
    assert Image.open(out).width > 2 * 256
    assert str(out) in done.stdout and "What to try next" in done.stdout
    assert ("it broke" in done.stderr) == (error is not None)


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
