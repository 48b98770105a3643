"""`sdbackends generate`: a picture; or, for wrong words, one message before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdbackends.cli import scripts
from sdbackends.cli.app import app
from sdbackends.errors import UsageError
from sdbackends.launch import start
from sdbackends.paths import pipelines_dir


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would have been run."""
    calls: list[list[str]] = []
    monkeypatch.setattr(start, "execute", lambda words, env: calls.append(list(words)))
    monkeypatch.setattr(scripts, "check_ready", lambda choices: None)
    return calls


def generate(*words: str) -> BaseException | None:
    error = CliRunner().invoke(app, ["generate", *words]).exception
    return None if isinstance(error, SystemExit) and error.code == 0 else error


def test_the_scripts_words(started: list[list[str]], tmp_path: Path) -> None:
    out = str(tmp_path / "new" / "x.png")
    words = f"--pipeline taiyi -b jax -o {out} --steps 3 --seed 7 --size 64x32 --guidance -1"
    assert generate("一", "-二", *words.split()) is not None  # a dash needs "--"
    assert generate(*words.split(), "--negative-prompt=-x", "--", "一", "-二") is None
    (command,) = started
    assert command[0] == str(pipelines_dir() / "taiyi.py")
    assert command[-3:] == ["--", "一", "-二"]
    given = {"--steps=3", "--seed=7", "--width=64", "--height=32", "--guidance=-1"}
    assert given | {"--negative-prompt=-x", f"--output={out}"} == set(command[1:-3])


@pytest.mark.parametrize(("device", "own"), [("cpu", True), ("cuda:1", True), ("tpu", False)])
def test_the_script_is_told_of_devices_that_torch_has(
    started: list[list[str]], tmp_path: Path, device: str, own: bool
) -> None:
    assert generate("x", "-o", str(tmp_path / "x.png"), "--device", device) is None
    assert (f"--device={device}" in started[0]) == own


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([""], "the prompt is empty"),
        (["x", "--steps", "0"], "whole number from 1"),
        (["x", "--steps", "many"], "'many'"),
        (["x", "--batch", "-2"], "'-2'"),
        (["x", "--guidance", "much"], "'much'"),
        (["x", "--size", "63"], "63 is not a multiple of 8; try 64"),
        (["x", "--size", "big"], "--size 512"),
        (["x", "--scheduler", "heun"], "dpm"),
        (["x", "--pipeline", "flux"], "stable_diffusion, taiyi"),
        (["x", "--model", "./nowhere"], "neither a folder nor a hub id"),
        (["x", "--model", "."], "no model_index.json"),
        (["x", "-o", "x.txt"], "must end in .png"),
        (["x", "-o", "file/x.png"], "cannot be written"),
        (["x", "-o", "folder.png"], "cannot be written"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    started: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    error = generate(*words)
    assert isinstance(error, UsageError), error
    assert message in str(error) and error.fix
    assert started == []


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_a_picture_comes_out(tiny_pipe_folder: Path, tmp_path: Path, backend: str) -> None:
    out = tmp_path / "x.png"
    words = f"--backend {backend} --fallback error --steps 2 --model {tiny_pipe_folder} -o {out}"
    done = subprocess.run(
        [sys.executable, "-m", "sdbackends", "generate", "a circle", *words.split()],
        capture_output=True,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out) and out.stat().st_size > 100
