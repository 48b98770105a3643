"""The CPythons of this machine: on PATH and where pyenv, uv, conda and others keep theirs.

Candidates come from the folders where Pythons usually lie; each is asked who it is, because a name
proves nothing: pyenv puts a `python3.10` on PATH that only complains, and a `python3.10` may be
another implementation. Standard library only: the noxfile reads this module too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

MINORS = (10, 11, 12, 13)

_ASK = """
import importlib.util, json, sys
print(json.dumps({
    "implementation": sys.implementation.name,
    "executable": sys.executable,
    "version": list(sys.version_info[:3]),
    "makes_environments": all(map(importlib.util.find_spec, ("venv", "ensurepip"))),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that answered."""

    #: As it calls itself: a shim of pyenv answers with the Python behind it.
    path: Path
    version: tuple[int, int, int]
    #: Whether `-m venv` works; Linux distributions ship venv and ensurepip apart.
    makes_environments: bool

    @property
    def release(self) -> str:
        return ".".join(map(str, self.version))


def find() -> Iterator[Interpreter]:
    """Every CPython of this machine, the running one first, each once."""
    asked, known = set(), set()
    for path in _candidates():
        if (real := os.path.realpath(path)) in asked:
            continue
        asked.add(real)
        found = ask(path)
        if found is not None and (real := os.path.realpath(found.path)) not in known:
            known.add(real)
            yield found


def ask(path: Path) -> Interpreter | None:
    """Who this is; None for one that is not CPython, or does not run at all."""
    if not path.is_file():
        return None
    try:
        # -I: no PYTHONPATH, so that a shell with the shim in it gets the same answer
        done = subprocess.run(
            [path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=True
        )
        answer = json.loads(done.stdout)
        major, minor, micro = answer["version"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    if answer["implementation"] != "cpython" or major != 3:
        return None
    return Interpreter(
        Path(answer["executable"]), (major, minor, micro), answer["makes_environments"]
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in (*os.get_exec_path(), "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"):
        for name in (*(f"python3.{minor}" for minor in MINORS), "python3", "python"):
            yield Path(folder, name)
    for pattern in _patterns():
        yield from map(Path, sorted(glob(pattern), reverse=True))


def _patterns() -> Iterator[str]:
    """Where tools and installers keep Pythons that are not on PATH."""
    env = os.environ
    try:
        home = Path.home()
    except RuntimeError:  # a user without an entry, where HOME is not set
        home = Path(os.devnull)
    yield f"{env.get('PYENV_ROOT') or home / '.pyenv'}/versions/3.*/bin/python"
    yield f"{env.get('UV_PYTHON_INSTALL_DIR') or home / '.local/share/uv/python'}/*/bin/python3"
    yield f"{home}/.asdf/installs/python/3.*/bin/python"
    yield f"{home}/.local/share/mise/installs/python/3.*/bin/python"
    condas = [f"{home}/*conda3", f"{home}/*forge3", "/opt/*conda3", "/opt/*forge3", "/opt/conda"]
    if conda := env.get("CONDA_EXE"):
        condas.append(str(Path(conda).parent.parent))
    for root in condas:
        yield f"{root}/bin/python"
        yield f"{root}/envs/*/bin/python"
    yield f"{home}/.conda/envs/*/bin/python"
    yield "/opt/python*/bin/python3"
    yield "/opt/python/*/bin/python3"
    yield "/Library/Frameworks/Python.framework/Versions/3.*/bin/python3"
