"""The backends of `plugins/`, one fault each, made known to this process or to others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sdbackends import paths

_PLUGINS = Path(__file__).parent / "plugins"
NAMES = tuple(sorted(path.stem for path in (_PLUGINS / "backends").glob("*.yaml")))


def beside_the_true_ones(place: Path) -> Path:
    """A folder in `place` with all backends: those of sdbackends, and the faulty ones."""
    folder = place / "backends"
    shutil.copytree(paths.backends_dir(), folder)
    for name in NAMES:
        shutil.copy(_PLUGINS / "backends" / f"{name}.yaml", folder)
    return folder


def variables(folder: Path) -> dict[str, str]:
    """With these a process knows the backends in `folder`, and so do those that it starts."""
    path = os.pathsep.join(filter(None, [str(_PLUGINS), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "SD_TEST_BACKENDS": str(folder)}
