"""docs/adding-a-backend.md: its preset draws torch's picture."""

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

def draw():
    pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
    pipe.set_progress_bar_config(disable=True)
    seed = torch.Generator().manual_seed(0)
    return pipe("a", num_inference_steps=2, generator=seed, output_type="np").images

expected = draw()
with sdbackends.use("jax-nchw", fallback="error"):
    print(json.dumps(float(np.abs(draw() - expected).max() * 255)))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's folder, with the files of the document."""
    write_named("adding-a-backend.md", tmp_path)
    return tmp_path


def test_a_preset_draws_torchs_picture(own: Path, tiny_pipe_folder: Path) -> None:
    (own / "draw.py").write_text(DRAW)
    done = follow(f"python draw.py {tiny_pipe_folder}", own, {"SD_BACKENDS_DIR": str(own)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) <= 2


def test_it_is_listed_like_any_other(own: Path) -> None:
    listed = follow("sdbackends backends --json", own, {"SD_BACKENDS_DIR": str(own)})
    ready = {one["name"]: one["ready"] for one in json.loads(listed.stdout)}
    assert ready["jax-nchw"] and ready["torch"]
