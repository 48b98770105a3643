"""Where a module's file stands, and whose it is; no module is imported to find that out.

The path is that of the script: its own folder first, then that of the running Python. A package
counts as a library when a distribution of its name is installed, or when it lies among those; the
rest is the script's own, local.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement

from sdbackends.resources import shim_dir

#: torch: what is asked about. local: the person's own. library: a package that uses torch. other: a
#: package that does not, the standard library among them. missing: not on this machine.
Kind = Literal["torch", "local", "library", "other", "missing"]

_SITE = frozenset({"site-packages", "dist-packages"})
_USES_TORCH = re.compile(rb"^\s*(?:import|from)\s+torch\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A module's file, if it is written in Python, and where its submodules are looked for."""

    name: str
    file: Path | None
    folders: tuple[str, ...] | None

    @property
    def is_package(self) -> bool:
        return self.folders is not None


class Modules:
    """The modules that a script in `folder` would find."""

    def __init__(self, folder: Path, path: Sequence[str] | None = None) -> None:
        shim = str(shim_dir())
        path = [entry for entry in (sys.path[1:] if path is None else path) if entry != shim]
        self.path = [str(folder), *path]
        self.folder = folder
        self.find = cache(self._find)
        self.kind = cache(self._kind)

    def _find(self, name: str) -> Found | None:
        """The module called `name`, or None."""
        parent, _, _ = name.rpartition(".")
        where: Sequence[str] | None = self.path
        if parent:
            package = self.find(parent)
            where = package.folders if package else None
            if where is None:
                return None
        spec = PathFinder.find_spec(name, list(where or ()))
        if spec is None and not parent:
            spec = _by_other_finders(name)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
        return Found(name, _python_file(spec), None if folders is None else tuple(folders))

    def _kind(self, package: str) -> Kind:
        """Whose the top-level `package` is."""
        if package == "torch":
            return "torch"
        if package in sys.stdlib_module_names or package in ("oneflow", "sdbackends"):
            return "other"
        found = self.find(package)
        if found is None:
            return "missing"
        place = found.file or Path(next(iter(found.folders or ()), ""))
        distribution = _distribution(package)
        if distribution is None and not _SITE & set(place.parts):
            return "local"
        if distribution is None or _names_torch(distribution):
            return "library"
        return "other"

    def installed(self, package: str) -> bool | None:
        """Whether `package` can be found; None for a word that no package has for a name here."""
        if package == "torch":
            return True
        return True if package.isidentifier() and self.find(package) else None

    def uses_torch(self, name: str) -> bool:
        """Whether this one file of another package imports torch itself."""
        found = self.find(name)
        try:
            return bool(found and found.file and _USES_TORCH.search(found.file.read_bytes()))
        except OSError:
            return False


def version(package: str) -> str | None:
    """Version of the distribution that brings `package`."""
    distribution = _distribution(package)
    return distribution.version if distribution else None


def _by_other_finders(name: str) -> ModuleSpec | None:
    """Editable installs bring finders of their own; a top-level name runs nothing."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _python_file(spec: ModuleSpec) -> Path | None:
    origin = spec.origin
    return Path(origin) if spec.has_location and origin and origin.endswith(".py") else None


@cache
def _distribution(package: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        names = _distributions_by_package().get(package)
        return importlib.metadata.distribution(names[0]) if names else None


@cache
def _distributions_by_package() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _names_torch(distribution: importlib.metadata.Distribution) -> bool:
    for line in distribution.requires or ():
        try:
            if Requirement(line).name.lower() == "torch":
                return True
        except InvalidRequirement:
            continue
    return False
