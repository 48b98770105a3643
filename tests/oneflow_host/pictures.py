"""One pipeline script drawn twice: by plain torch, and on a machine that has OneFlow instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sdbackends.paths import pipelines_dir
from tests.oneflow_host.conftest import Host
from tests.scripts import RunScript

#: Of 255: how far a pixel may be from torch's.
BOUND = 2


def assert_same_picture(
    script: str, *arguments: str, host: Host, run_script: RunScript, folder: Path
) -> None:
    path = pipelines_dir() / script
    theirs, ours = folder / "torch.png", folder / "oneflow.png"
    reference = run_script(path, "-o", str(theirs), *arguments, shim=False)
    assert reference.code == 0, reference.stderr
    done = host.run(path, "-o", str(ours), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UNet2DConditionModel: running as an nn.Graph" in done.stderr
    assert abs(_pixels(ours) - _pixels(theirs)).max() <= BOUND


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)
