"""The Python that a worker environment is made with: the one named, or one found on this machine.

In come the environment's accepted versions; out goes an interpreter that can make virtual
environments, or an error with the command that gets this machine one.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet

from sdbackends.catalog import interpreters
from sdbackends.catalog.environments import Environment
from sdbackends.catalog.interpreters import Interpreter
from sdbackends.errors import NotMadeError, UsageError


def choose(environment: Environment, named: Path | None) -> Interpreter:
    """`named` if it fits; None: the first CPython of this machine that does.

    Raises:
        UsageError: `named` does not fit.
        NotMadeError: there is none, or none that makes virtual environments.
    """
    return _fitting(environment) if named is None else _given(environment, named)


def virtual(base: Interpreter) -> list[str]:
    """The command that makes a virtual environment of `base`, less its place."""
    if base.makes_environments:
        return [str(base.path), "-I", "-m", "venv"]
    return [*_virtualenv(), "--python", str(base.path)]


def _virtualenv() -> list[str]:
    """The command virtualenv, for a Python that came without venv; empty: not here."""
    if importlib.util.find_spec("virtualenv") is not None:
        return [sys.executable, "-m", "virtualenv"]
    found = shutil.which("virtualenv")
    return [found] if found else []


def _given(environment: Environment, python: Path) -> Interpreter:
    found = interpreters.ask(Path(shutil.which(python) or python))
    if found is None:
        raise UsageError(f"{python} is not a CPython that runs", where="--python")
    if not _accepts(environment, found):
        raise UsageError(
            f"{python} is CPython {found.release}",
            where="--python",
            why=f"{environment.name} needs {environment.python}",
            fix=f"leave --python out, or: {_another_python(environment)}",
        )
    if not found.makes_environments and not _virtualenv():
        raise _without_venv(environment, found)
    return found


def _fitting(environment: Environment) -> Interpreter:
    """The first CPython of this machine that the environment can be made with."""
    without_venv = None
    for found in interpreters.find():
        if _accepts(environment, found):
            if found.makes_environments or _virtualenv():
                return found
            without_venv = without_venv or found
    if without_venv is not None:
        raise _without_venv(environment, without_venv)
    raise NotMadeError(
        f"there is no CPython {environment.python} on this machine",
        where=f"environment {environment.name!r}",
        why="looked on PATH, in the system's folders, and where pyenv, uv and conda keep theirs",
        fix=f"{_another_python(environment)}, then again; or --python PATH",
    )


def _accepts(environment: Environment, found: Interpreter) -> bool:
    return SpecifierSet(environment.python).contains(found.release, prereleases=True)


def _without_venv(environment: Environment, found: Interpreter) -> NotMadeError:
    fix = f"{shlex.quote(sys.executable)} -m pip install virtualenv"
    if shutil.which("apt-get") and str(found.path).startswith("/usr/bin"):
        fix = f"sudo apt-get install -y python3.{found.version[1]}-venv"
    return NotMadeError(
        f"{found.path} cannot make virtual environments",
        where=f"environment {environment.name!r}",
        why="it lacks venv or ensurepip, and virtualenv is not installed",
        fix=fix,
    )


def _another_python(environment: Environment) -> str:
    """How this machine gets a Python that fits."""
    accepted = SpecifierSet(environment.python)
    minor = next((m for m in range(30) if accepted.contains(f"3.{m}.99")), 10)
    commands = {
        "uv": f"uv python install 3.{minor}",
        "pyenv": f"pyenv install 3.{minor}",
        "conda": f"conda create -y -n python3.{minor} python=3.{minor}",
        "mamba": f"mamba create -y -n python3.{minor} python=3.{minor}",
        "dnf": f"sudo dnf install -y python3.{minor}",
    }
    found = (command for tool, command in commands.items() if shutil.which(tool))
    # uv brings a Python to every machine, without root.
    python = shlex.quote(sys.executable)
    return next(found, f"{python} -m pip install uv && {python} -m uv python install 3.{minor}")
