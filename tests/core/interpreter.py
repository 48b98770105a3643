"""Interpreters with the shim and a torch made of one file: no framework is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIM = ROOT / "shim"


@dataclass
class Interpreter:
    """Runs scripts with `libraries` on the path behind the shim."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    #: `-S`: no site-packages and no sitecustomize.
    options: tuple[str, ...] = ()
    shim: bool = True

    @property
    def libraries(self) -> Path:
        path = self.folder / "libraries"
        path.mkdir(exist_ok=True)
        return path

    def add(self, name: str, text: str) -> Path:
        """A module (or `package/__init__.py`) in the libraries."""
        path = self.libraries / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        path = self.folder / "script.py"
        path.write_text(textwrap.dedent(script), encoding="utf-8")
        folders = [str(SHIM)] * self.shim + [str(self.libraries), str(ROOT)]
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("SD_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, *self.options, str(path)],
            env={**plain, "PYTHONPATH": os.pathsep.join(folders), **self.env, **env},
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=60,
        )

    def says(self, script: str, **env: str) -> list[str]:
        """The lines that the script prints; it must succeed and say nothing on stderr."""
        done = self.run(script, **env)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout.splitlines()
