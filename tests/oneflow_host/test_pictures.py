"""The embedded models on a machine without torch draw torch's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbackends.resources import pipelines_dir
from tests.oneflow_host.conftest import Host
from tests.scripts import RunScript

SCRIPTS = {"sd": "stable_diffusion.py", "taiyi": "taiyi.py"}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize(
    ("model", "scheduler"),
    [("sd", None), ("sd", "pndm"), ("sd", "euler"), ("sd", "dpm++"), ("taiyi", None)],
)
def test_the_same_picture(
    model: str, scheduler: str | None, host: Host, run_script: RunScript, tmp_path: Path
) -> None:
    script = pipelines_dir() / SCRIPTS[model]
    words = [f"--scheduler={scheduler}"] if scheduler else []
    theirs, ours = tmp_path / "torch.png", tmp_path / "oneflow.png"
    reference = run_script(script, "-o", str(theirs), *words, shim=False)
    assert reference.code == 0, reference.stderr
    done = host.run(script, "-o", str(ours), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UNet2DConditionModel: running as an nn.Graph" in done.stderr
    assert abs(pixels(ours) - pixels(theirs)).max() <= 2
