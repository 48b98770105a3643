"""Adds the faulty backends of this folder to every Python that has it on its path."""

import os
from pathlib import Path

from sdbackends import engines, paths

HERE = Path(__file__).resolve().parent

paths.backends_dir = lambda: Path(os.environ["SD_TEST_BACKENDS"])
engines.ENGINES.update(
    {path.stem: f"faulty:{path.stem.capitalize()}" for path in (HERE / "backends").glob("*.yaml")}
)
