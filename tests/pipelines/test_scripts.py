"""The scripts of `pipelines/` alone, with plain torch: nothing of sdbackends in them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sdbackends.paths import pipelines_dir

SCRIPTS = sorted(pipelines_dir().glob("*.py"))
Run = Callable[..., None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`python stable_diffusion.py …` in this process: the import of diffusers is paid once."""
    for name in ("_arguments", "stable_diffusion"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(pipelines_dir())

    def run(*words: str | Path, script: str = "stable_diffusion.py") -> None:
        path = str(pipelines_dir() / script)
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        runpy.run_path(path, run_name="__main__")

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_script_imports_sdbackends(script: Path) -> None:
    assert "import sdbackends" not in script.read_text("utf-8")
    assert "from sdbackends" not in script.read_text("utf-8")


def test_batches_prompts_sizes_and_seeds(
    run: Run, tiny_pipe_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--model {tiny_pipe_folder} --steps 2 --batch 2 --seed 3 --width 48 --json"
    run("a", "b", *words.split(), "-o", tmp_path / "x.png")
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["files"] == [str(tmp_path / f"x-{n}.png") for n in (1, 2, 3, 4)]
    assert len(record["seconds"]) == 1 and record["seconds"][0] > 0
    pictures = [Image.open(file) for file in record["files"]]
    assert {picture.size for picture in pictures} == {(48, 48)}
    assert len({picture.tobytes() for picture in pictures}) == 4

    # Seed 4 alone is the second picture of the batch that began with 3, to rounding.
    alone = f"--model {tiny_pipe_folder} --steps 2 --seed 4 --height 48 --repeat 2 --json"
    run("a", *alone.split(), "-o", tmp_path / "y.png")
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["seconds"]) == 2
    pairs = zip(Image.open(tmp_path / "y.png").tobytes(), pictures[1].tobytes(), strict=True)
    assert max(abs(first - second) for first, second in pairs) <= 1


def test_a_picture_has_the_shape_that_was_asked_for(
    run: Run, tiny_pipe_folder: Path, tmp_path: Path
) -> None:
    words = f"a --model {tiny_pipe_folder} --steps 1 --width 48 --height 32 -o {tmp_path}/x.jpg"
    run(*words.split())
    assert Image.open(tmp_path / "x.jpg").size == (48, 32)


@pytest.mark.parametrize("scheduler", ["pndm", "ddim", "euler", "euler_a", "dpm++", "unipc"])
def test_schedulers(run: Run, tiny_pipe_folder: Path, tmp_path: Path, scheduler: str) -> None:
    words = f"a --model {tiny_pipe_folder} --steps 2 --scheduler {scheduler} -o {tmp_path}/x.png"
    run(*words.split())
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("script", "model"),
    [
        ("stable_diffusion.py", "tiny-random:sd15"),
        ("taiyi.py", "tiny-random:taiyi"),
        ("sdxl.py", None),
        ("pixart.py", None),
        ("img2img.py", None),
        ("inpaint.py", None),
        ("controlnet.py", None),
        ("lora.py", None),
    ],
)
def test_every_script_draws_without_a_download(
    run: Run, tmp_path: Path, script: str, model: str | None
) -> None:
    words = ["a", "--steps=2", "--width=64", "--batch=2", f"--output={tmp_path}/x.png"]
    chosen = [f"--model={model}"] if model else []
    run(*words, *chosen, script=script)
    first, second = (Image.open(tmp_path / f"x-{n}.png").copy() for n in (1, 2))
    assert first.size == (64, 64) and first.tobytes() != second.tobytes()
    assert any(low + 20 < high for low, high in first.getextrema())
    # What was made at random is the same in every run.
    run(*words, *chosen, script=script)
    assert Image.open(tmp_path / "x-1.png").tobytes() == first.tobytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model tiny-random:flux", "the families are sd15"),
        ("--strength 0", "not a number above 0"),
        ("--image nowhere.png", "there is no file"),
    ],
)
def test_words_of_one_script_are_checked_too(
    run: Run, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    with pytest.raises(SystemExit):
        run("a", *words.split(), script="img2img.py")
    assert said in capsys.readouterr().err


def test_a_damaged_model_ends_in_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(SystemExit, match=r"cannot be loaded on(.|\n)*fix:"):
        run("圆", "--model", tmp_path, "-o", tmp_path / "x.png", script="taiyi.py")


def test_wrong_words_cost_no_import_of_torch() -> None:
    words = [pipelines_dir() / "stable_diffusion.py", "", "--verbose"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 2 and "the prompt is empty" in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported and not imported & {"torch", "diffusers"}
