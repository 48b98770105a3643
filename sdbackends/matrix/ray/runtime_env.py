"""What a node is given to run a cell with: sdbackends itself, and maybe the backend's packages.

sdbackends travels from here in any case, so that all nodes measure the same commit. The engines do
not: by default a node's own environment is used (`present`), because which torch belongs to which
driver is known there and not in our yaml, because an environment is gigabytes for each backend on
each node, and because clusters are often offline. `pip` lets Ray build one for each backend, from
the requirements in its yaml, on top of what the node has.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from sdbackends import paths
from sdbackends.catalog import backend_files
from sdbackends.errors import SdError

Environment = Literal["present", "pip"]
#: Seconds that building one may take: torch alone is gigabytes.
_BUILDING = 3600
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def package(into: Path) -> Path:
    """sdbackends as a wheel lays it out, copied into the folder: one folder with everything in."""
    whole = into / "sdbackends"
    shutil.copytree(paths.package_dir(), whole, ignore=_UNWANTED, dirs_exist_ok=True)
    for folder in (paths.backends_dir(), paths.shim_dir(), paths.pipelines_dir()):
        if not (whole / folder.name).exists():
            shutil.copytree(folder, whole / folder.name, ignore=_UNWANTED)
    shutil.copy2(paths.matrix_file(), whole)
    return whole


def runtime_env(backend: str, kind: Environment) -> dict[str, Any]:
    """Ray's description of the environment of that backend's cells; the package comes on top."""
    if kind == "present":
        return {}
    wanted = [*backend_files.load(backend).requirements, *_own_requirements()]
    return {"pip": {"packages": wanted}, "config": {"setup_timeout_seconds": _BUILDING}}


def _own_requirements() -> list[str]:
    """What sdbackends needs to measure, as its own metadata has it."""
    try:
        lines = importlib.metadata.requires("sdbackends") or []
    except importlib.metadata.PackageNotFoundError:
        raise SdError(
            "nobody knows what sdbackends needs on the nodes",
            why="it is not installed here: its requirements are in its metadata",
            fix="install it (pip install -e .), or use --ray-env present",
        ) from None
    found = []
    for line in lines:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": "matrix"}):
            need.marker = None
            found.append(str(need))
    return found
