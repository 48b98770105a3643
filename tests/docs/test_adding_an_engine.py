"""docs/adding-an-engine.md: its engine draws torch's picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.blocks import follow, write_named

pytestmark = pytest.mark.slow

DRAW = """
import json, sys
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
import sdbackends
from sdbackends.errors import RunError

def draw(spoil=False):
    pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
    pipe.set_progress_bar_config(disable=True)
    if spoil:
        pipe.unet.mid_block.resnets[0].conv1.bias.data[3] = float("nan")
    seed = torch.Generator().manual_seed(0)
    return pipe("a", num_inference_steps=2, generator=seed, output_type="np").images

expected, figures = draw(), {}
with sdbackends.use("first-nan", fallback="error"):
    figures["first-nan"] = float(np.abs(draw() - expected).max() * 255)
    try:
        draw(spoil=True)
    except RunError as error:
        figures["named"] = str(error)
print(json.dumps(figures))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's folder, with the files of the document."""
    write_named("adding-an-engine.md", tmp_path)
    return tmp_path


def test_the_engine_draws_torchs_picture(own: Path, tiny_pipe_folder: Path) -> None:
    (own / "draw.py").write_text(DRAW)
    done = follow(f"python draw.py {tiny_pipe_folder}", own, {"SD_BACKENDS_DIR": str(own)})
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["first-nan"] < 0.01
    assert figures["named"] == "aten.conv2d.default gave NaN (mid_block.resnets.0.conv1)"


def test_it_is_listed_and_asked_like_any_other(own: Path) -> None:
    env = {"SD_BACKENDS_DIR": str(own)}
    listed = follow("sdbackends backends --json", own, env)
    ready = {one["name"]: one["ready"] for one in json.loads(listed.stdout)}
    assert ready["first-nan"] and ready["torch"]
    (own / "none.py").write_text("")
    asked = follow("sdbackends ops --backend first-nan none.py", own, env)
    assert asked.returncode == 1
    assert asked.stdout.startswith("no model of diffusers or transformers was called")


def test_an_engine_that_is_not_there_is_a_lack_with_its_fix(own: Path) -> None:
    (own / "first_nan.py").unlink()
    env = {"SD_BACKENDS_DIR": str(own)}
    done = follow("sdbackends run --backend first-nan -c pass", own, env)
    assert done.returncode == 1
    assert "its engine's module first_nan is not there" in done.stderr
    assert "on PYTHONPATH" in done.stderr
