"""Scripts in processes of their own, with the environment that `sd-mock` makes.

`RunScript` runs one for a test anywhere; `cases/` holds what scripts do to models, which
`test_scripts.py` compares between the engines and plain torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdbackends.paths import shim_dir


@dataclass(frozen=True)
class Finished:
    """What a script left behind."""

    stdout: str
    stderr: str
    code: int

    def ok(self) -> Finished:
        """Itself; fails the test, with everything that the script said, if the script failed."""
        assert self.code == 0, f"exit code {self.code}\n{self.stdout}\n{self.stderr}"
        return self


@dataclass(frozen=True)
class RunScript:
    """Runs scripts in `folder`, which is also where their text is written."""

    folder: Path

    def __call__(
        self,
        script: str | Path,
        *args: str | Path,
        backend: str | None = None,
        env: Mapping[str, str] | None = None,
        shim: bool = True,
        timeout: float = 300,
    ) -> Finished:
        if isinstance(script, str):
            path = self.folder / "script.py"
            path.write_text(textwrap.dedent(script), encoding="utf-8")
        else:
            path = script
        done = subprocess.run(
            [sys.executable, path, *args],
            cwd=self.folder,
            env={**_environment(backend, shim), **(env or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        return Finished(done.stdout, done.stderr, done.returncode)


def _environment(backend: str | None, shim: bool) -> dict[str, str]:
    env = dict(os.environ)
    if shim:
        before = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(shim_dir()), before]))
    if backend is not None:
        env["SD_BACKEND"] = backend
    return env
