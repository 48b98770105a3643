"""A worker environment that is made in seconds, without a network: one wheel of one module."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from sdbackends import paths

RUNNING = f"=={sys.version_info.major}.{sys.version_info.minor}.*"


class Said:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.work: list[str] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def at_work(self, text: str) -> None:
        self.work.append(text)


class Tiny:
    """The environment `tiny`: its files in `folder`, made in `folder/made`."""

    name = "tiny"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.place = folder / "made" / "tiny"
        (folder / "backends" / "environments").mkdir(parents=True)
        monkeypatch.setattr(paths, "backends_dir", lambda: folder / "backends")
        monkeypatch.setenv("SD_ENV_DIR", str(folder / "made"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        self.describe()

    def describe(self, **changes: Any) -> None:
        """Write the yaml; `changes` replace its values."""
        described = {
            "summary": "a test",
            "python": RUNNING,
            "requirements": [f"tinything @ {self.wheel().as_uri()}"],
            "modules": {"tinything": ">=1,<2"},
            "size": "30 MB",
        }
        path = self.folder / "backends" / "environments" / "tiny.yaml"
        path.write_text(yaml.safe_dump({**described, **changes}, sort_keys=False))

    def wheel(self, *, version: str = "1.0", code: str = "answer = 42\n") -> Path:
        """A wheel of one module."""
        about = f"tinything-{version}.dist-info"
        path = self.folder / f"tinything-{version}-py3-none-any.whl"
        files = {
            "tinything.py": code,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tinything\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in {**files, f"{about}/RECORD": record}.items():
                archive.writestr(name, text)
        return path
