"""What people write in a file or after a command is refused in words, never with a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from sdbackends import paths
from sdbackends.catalog import backend_files
from sdbackends.cli.app import app
from sdbackends.errors import CatalogError, SdError
from sdbackends.matrix import demo, plan
from sdbackends.matrix.config import Matrix
from sdbackends.matrix.results import CellResult
from sdbackends.paths import pipelines_dir

BACKEND = """\
engine: eager
summary: a test
requirements:
  - torch==2.13.0
modules: {torch: ">=2"}
precisions: [fp32]
devices: [cpu]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("modules:", "  - --index-url=https://example.org\nmodules:", 5, "no requirement"),
        ("modules:", "  - -r more.txt\nmodules:", 5, "no requirement"),
        ("modules:", '  - ""\nmodules:', 5, "no requirement"),
        ("torch==2.13.0", '"torch ; python_version < (3"', 4, "no requirement"),
        ("{torch:", '{"":', 5, "no name of a module"),
        ("{torch:", "{../torch:", 5, "no name of a module"),
    ],
)
def test_a_backend_that_asks_for_what_cannot_be_installed_is_refused_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: int, why: str
) -> None:
    monkeypatch.setattr(paths, "backends_dir", lambda: tmp_path)
    (tmp_path / "mine.yaml").write_text(BACKEND.replace(old, new))
    with pytest.raises(CatalogError) as refused:
        backend_files.load("mine")
    assert f"mine.yaml:{line}" in refused.value.where
    assert why in refused.value.why


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of `pipelines/` can be imported."""
    monkeypatch.syspath_prepend(pipelines_dir())


def refused(*words: str | bytes, script: str = "stable_diffusion.py") -> str:
    """The line with which a script ends; it has not begun to draw."""
    command = [sys.executable, pipelines_dir() / script, *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    said = done.stderr.decode().splitlines()
    assert done.returncode == 2 and "Traceback" not in done.stderr.decode()
    assert said[-1].startswith(f"{script}: error: argument ")
    return said[-1]


@pytest.mark.parametrize(
    "words",
    [
        "--guidance nan",
        "--guidance inf",
        "--guidance=-inf",
        "--guidance 1e400",
        "--guidance 1e39",
        "--steps 0",
        "--steps=-1",
        "--steps 1000000000",
        f"--steps {'9' * 5000}",
        f"--seed {2**64}",
        f"--seed={-(2**63) - 1}",
        f"--seed {2**64 - 1} --batch 2",
    ],
)
def test_numbers_without_a_picture_are_refused(tmp_path: Path, words: str) -> None:
    assert refused(*words.split(), f"--output={tmp_path}/x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_strength_that_leaves_no_step_is_refused(tmp_path: Path) -> None:
    words = ("--steps=2", "--strength=0.4", f"--output={tmp_path}/x.png")
    assert "leaves none" in refused(*words, script="img2img.py")


@pytest.mark.parametrize("before", [b"", b"--negative-prompt=", b"--output="])
def test_bytes_that_are_no_text_are_refused(before: bytes) -> None:
    assert "no text in UTF-8" in refused(before + b"\xff\xfe.png")


def test_the_command_says_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sdbackends", "generate", "a cat", "--guidance=nan"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("sdbackends: argument --guidance: 'nan' is not a number")


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_picture_to_start_from_that_is_none_is_refused(
    scripts: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    from _pictures import opened

    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(SystemExit) as refused:
        opened(tmp_path / "x.png", (64, 64))
    assert refused.value.code == 2 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", ["pipe", "folder", "a link to a pipe"])
def test_an_output_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "x.png"
    if kind == "folder":
        output.mkdir()
    else:
        pipe = output if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(pipe)
        if pipe != output:
            output.symlink_to(pipe)
    assert "is no file" in refused(f"--output={output}")


#: Writes a picture of 300 kB to x.png, as a script does when it has drawn, on a disk that has no
#: room for so much.
SAVING = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from PIL import Image
from _saving import save

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
save(Image.effect_noise((512, 512), 100), Path("x.png"))
"""


@pytest.mark.parametrize("older", [b"an older picture", None])
def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, older: bytes | None) -> None:
    if older is not None:
        (tmp_path / "x.png").write_bytes(older)
    command = [sys.executable, "-c", SAVING, pipelines_dir()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/x.png cannot be written: File too large\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {} if older is None else {"x.png": older}
    )


def test_a_link_stays_one_and_a_mode_is_kept(scripts: None, tmp_path: Path) -> None:
    from _saving import save

    kept, link = tmp_path / "kept.png", tmp_path / "link.png"
    kept.write_bytes(b"")
    kept.chmod(0o640)
    link.symlink_to("kept.png")
    save(Image.new("RGB", (8, 8)), link)
    assert link.is_symlink() and Image.open(kept).size == (8, 8)
    assert kept.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["kept.png", "link.png"]


@pytest.mark.parametrize("name", ["pndm", "ddim", "euler", "euler_a", "dpm++", "unipc"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_steps_that_a_scheduler_has_not_are_refused_and_all_others_run(
    scripts: None, capsys: pytest.CaptureFixture[str], name: str, spacing: str
) -> None:
    import torch
    from _drawing import _scheduler
    from _steps import check_steps

    config = json.loads((pipelines_dir() / "tiny/sd/scheduler/scheduler_config.json").read_text())
    scheduler = _scheduler(name, {**config, "timestep_spacing": spacing})
    taken = []
    for steps in (1, 2, 50, 999, 1000, 1001):
        try:
            check_steps(scheduler, steps)
        except SystemExit:
            assert f"has no {steps} steps" in capsys.readouterr().err
            continue
        taken.append(steps)
        scheduler.set_timesteps(steps)
        latents = torch.ones(1, 4, 1, 1)
        for timestep in scheduler.timesteps:
            scheduler.scale_model_input(latents, timestep)
            latents = scheduler.step(torch.zeros_like(latents), timestep, latents).prev_sample
        assert latents.isfinite().all()
    assert taken[:3] == [1, 2, 50] and 1001 not in taken


def test_a_full_disk_leaves_the_older_sheet_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(matrix: Matrix, **_: object) -> list[demo.Drawn]:
        result = CellResult(cell=plan.cells(matrix)[0], outcome="ok")
        return [demo.Drawn(result, Image.new("RGB", (8, 8)), None, "torch")]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"an older sheet")
    monkeypatch.setattr(demo, "draw", draw)
    monkeypatch.setattr(os, "fsync", full)
    done = CliRunner().invoke(app, ["demo", "-o", str(sheet), "--backends", "torch"])
    assert isinstance(done.exception, SdError) and done.exception.exit_code == 1
    assert "No space left on device" in str(done.exception)
    assert sheet.read_bytes() == b"an older sheet" and list(tmp_path.iterdir()) == [sheet]
