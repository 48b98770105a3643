"""Whether scripts that this shell starts run on a backend, and if not, what keeps them from it.

In comes the environment of a shell; out goes a `Status`: the shim's entry in `PYTHONPATH`, the
choice in `SD_BACKEND`, and the Python that the word `python` starts, which is asked in a process of
its own. `sd-mock --status` and `sdbackends doctor` print it. What no environment can tell:
`python -I` and `python -E` ignore `PYTHONPATH`, and with it the shim.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdbackends._version import __version__
from sdbackends.catalog.requirements import MissingRequirement
from sdbackends.errors import UsageError
from sdbackends.launch.start import with_shim
from sdbackends.paths import check_backend
from sdbackends.settings import BackendChoice

#: Run by the shell's Python. Written for any Python 3; -c puts the working folder on its path,
#: where a folder named sdbackends may stand.
_ASK = """
import json, sys
sys.path.pop(0)
told = {"executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3]}
told["shim"] = "sdbackends_shim" in sys.modules or any(
    __import__("os").path.isfile(entry + "/sdbackends_shim.py") for entry in sys.path)
try:
    if sys.version_info < (3, 10):
        raise ImportError("it needs Python 3.10 or newer")
    from sdbackends import __version__
    told["sdbackends"] = __version__
except ImportError as why:
    told["why"] = str(why)
print(json.dumps(told))
"""


@dataclass(frozen=True)
class ShellPython:
    """The Python that `python` starts in this shell."""

    executable: str
    version: str
    #: Version of sdbackends that it imports; None: it imports none.
    sdbackends: str | None
    #: Whether it has the shim on its path.
    shim: bool
    why: str = ""


@dataclass(frozen=True)
class Status:
    """`switched`: scripts run on `backend`; else `lacks` says what is missing for that."""

    switched: bool
    backend: str | None
    #: The shim's entry in `PYTHONPATH`.
    shim: str | None
    python: ShellPython | None
    lacks: tuple[MissingRequirement, ...]


def examine(env: Mapping[str, str]) -> Status:
    """Look at the shell that has the environment `env`."""
    backend = env.get("SD_BACKEND", "").strip() or None
    shim = _shim_entry(env)
    python = _shell_python(env)
    lacks = (
        *_choice_lacks(backend, env),
        *_shim_lacks(shim, backend, env),
        *_python_lacks(python, shim),
    )
    return Status(not lacks, backend, shim, python, lacks)


def check_chosen(env: Mapping[str, str]) -> None:
    """Nothing, when `SD_BACKEND` is unset or names backends that exist.

    Raises:
        UsageError: it cannot be read, or names a backend that does not exist.
    """
    for name in BackendChoice.parse(env.get("SD_BACKEND")).names:
        check_backend(name)


def summary(status: Status) -> str:
    """One line: what scripts that this shell starts run on."""
    if status.switched:
        return f"switched: scripts run on {status.backend}"
    if status.backend is None and status.shim is None:
        return "not switched: scripts run on plain torch"
    return "not switched, although " + (
        f"SD_BACKEND={status.backend}" if status.backend else "the shim is on PYTHONPATH"
    )


def _choice_lacks(backend: str | None, env: Mapping[str, str]) -> list[MissingRequirement]:
    if backend is None:
        return [
            MissingRequirement("SD_BACKEND is not set", "export SD_BACKEND=jax, or another backend")
        ]
    try:
        check_chosen(env)
    except UsageError as error:
        return [MissingRequirement(f"SD_BACKEND={backend}: {error.what}", error.fix)]
    return []


def _shim_lacks(
    shim: str | None, backend: str | None, env: Mapping[str, str]
) -> list[MissingRequirement]:
    fix = f'eval "$(sd-mock{" " + backend if backend else ""})"'
    if shim is None:
        return [MissingRequirement("the shim is not on PYTHONPATH", fix)]
    own = with_shim(None)
    if shim != own:
        return [
            MissingRequirement(f"the shim on PYTHONPATH is another installation's: {shim}", fix)
        ]
    return []


def _python_lacks(python: ShellPython | None, shim: str | None) -> list[MissingRequirement]:
    if python is None:
        return [MissingRequirement("no `python` on PATH can be started", "activate an environment")]
    here = f"`python` is {python.executable} (Python {python.version})"
    if python.sdbackends is None:
        fix = f"{python.executable} -m pip install {_package()}"
        return [MissingRequirement(f"{here}, which cannot import sdbackends: {python.why}", fix)]
    if python.sdbackends != __version__:
        fix = f"{python.executable} -m pip install {_package()}"
        why = f"{here}, which has sdbackends {python.sdbackends}; the shim is of {__version__}"
        return [MissingRequirement(why, fix)]
    if shim is not None and not python.shim:
        fix = "start Python without -E and -I, or call sdbackends.use() in the script"
        return [MissingRequirement(f"{here}, which ignores PYTHONPATH", fix)]
    return []


def _package() -> str:
    checkout = Path(with_shim(None)).parent
    return f"-e {checkout}" if (checkout / "pyproject.toml").is_file() else "sdbackends"


def _shim_entry(env: Mapping[str, str]) -> str | None:
    entries = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    own = with_shim(None)
    if own in entries:
        return own
    return next((e for e in entries if (Path(e) / "sdbackends_shim.py").is_file()), None)


def _shell_python(env: Mapping[str, str]) -> ShellPython | None:
    found = shutil.which("python", path=env.get("PATH")) or shutil.which(
        "python3", path=env.get("PATH")
    )
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, "-c", _ASK], env=dict(env), capture_output=True, text=True, timeout=60
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return ShellPython(
        executable=told["executable"] or found,
        version=told["version"],
        sdbackends=told.get("sdbackends"),
        shim=told["shim"],
        why=told.get("why", ""),
    )
