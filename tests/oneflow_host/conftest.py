"""The Pythons that have oneflow and no torch; each test runs on each of them.

`SD_TEST_HOST_PYTHONS` names them, separated as in PATH; `nox -s tests-oneflow` makes them.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.core.interpreter import ROOT, SHIM


@dataclass
class Host:
    """One such Python, in a folder of its own for scripts and pictures."""

    python: Path
    folder: Path

    def run(
        self, script: str | Path, *args: str, shim: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """A script (its text, or its path) as a person runs it after `sd-mock oneflow-host`."""
        if isinstance(script, str):
            path = self.folder / "script.py"
            path.write_text(textwrap.dedent(script), encoding="utf-8")
            script = path
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("SD_", "PYTHON"))}
        path_entries = [str(SHIM)] * shim + [str(ROOT)]
        chosen = {"SD_BACKEND": "oneflow-host"} if shim else {}
        return subprocess.run(
            [str(self.python), str(script), *args],
            env={**plain, "PYTHONPATH": os.pathsep.join(path_entries), **chosen, **env},
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=300,
        )

    def says(self, script: str | Path, *args: str, **how: str | bool) -> list[str]:
        """The lines on stdout of a script that must succeed."""
        done = self.run(script, *args, **how)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()


def _pythons() -> list[str]:
    return [p for p in os.environ.get("SD_TEST_HOST_PYTHONS", "").split(os.pathsep) if p]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host_python" in metafunc.fixturenames:
        found = _pythons()
        names = [Path(python).parent.parent.name for python in found]
        metafunc.parametrize("host_python", found or [None], ids=names or ["none"], scope="session")


@pytest.fixture
def host(host_python: str | None, tmp_path: Path) -> Host:
    if host_python is None:
        pytest.fail(
            "SD_TEST_HOST_PYTHONS names no Python with oneflow and without torch; "
            "fix: nox -s tests-oneflow, which makes them",
            pytrace=False,
        )
    assert host_python is not None
    return Host(Path(host_python), tmp_path)
