"""The way into a script from outside: the shim on `PYTHONPATH`, the choices in `SD_*` variables.

`sd-mock` writes the same changes as shell text that `sdbackends run` makes for one process.
Standard library only, because `sd-mock` runs at every shell start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from sdbackends.errors import SdError
from sdbackends.paths import check_backend, shim_dir
from sdbackends.settings import BackendChoice


@dataclass(frozen=True)
class Choices:
    """What a person chose on the command line; None leaves the environment's own word."""

    backend: str | None = None
    precision: str | None = None
    device: str | None = None
    fallback: str | None = None
    verify: bool = False

    def variables(self) -> dict[str, str]:
        given = {
            "SD_BACKEND": self.backend,
            "SD_PRECISION": self.precision,
            "SD_DEVICE": self.device,
            "SD_FALLBACK": self.fallback,
            "SD_VERIFY": "1" if self.verify else None,
        }
        return {name: value for name, value in given.items() if value is not None}


def chosen(choices: Choices, env: Mapping[str, str]) -> Choices:
    """`choices` with a backend: the one chosen, else that of `SD_BACKEND`, else auto."""
    return replace(choices, backend=choices.backend or env.get("SD_BACKEND", "").strip() or "auto")


def environment(choices: Choices, env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the shim on its path and the choices in its variables."""
    changed = {**env, "PYTHONPATH": with_shim(env.get("PYTHONPATH"))}
    return {**changed, **choices.variables()}


def execute(arguments: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Run this Python with `arguments` in place of the present process.

    Exit code, signals and the terminal are then the script's own.
    """
    command = [sys.executable, *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(command[0], command, dict(env))
    import subprocess

    raise SystemExit(subprocess.run(command, env=dict(env), check=False).returncode)


def check_choice(backend: str | None) -> None:
    """Nothing, when every name in `backend` ("jax", "auto", "unet=jax,vae=torch") exists.

    Raises:
        UsageError: the text cannot be read, or names a backend that does not exist.
    """
    for name in BackendChoice.parse(backend, where="backend").names:
        check_backend(name)


def with_shim(pythonpath: str | None) -> str:
    """`pythonpath` with the shim once, in front, and every other entry as it was."""
    shim = _shim_entry()
    rest = without_shim(pythonpath)
    return shim if rest is None else f"{shim}{os.pathsep}{rest}"


def without_shim(pythonpath: str | None) -> str | None:
    """`pythonpath` less the shim's own entry; None when nothing is left."""
    if not pythonpath:
        return None
    shim = _shim_entry()
    rest = [entry for entry in pythonpath.split(os.pathsep) if entry != shim]
    return os.pathsep.join(rest) if rest else None


def _shim_entry() -> str:
    shim: Path = shim_dir()
    if os.pathsep in str(shim):
        raise SdError(
            "sdbackends stands in a folder that cannot be named in PYTHONPATH",
            where=str(shim),
            why=f"PYTHONPATH separates its entries by {os.pathsep!r}, and the path holds one",
            fix=f"move the checkout or the environment to a path without {os.pathsep!r}",
        )
    return str(shim)
