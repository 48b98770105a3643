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

from sdbackends.oneflow_host.check.lazy import is_lazy
from sdbackends.paths import shim_dir

#: torch: what is asked about. local: the person's own. library: installed, and uses torch. other:
#: installed, and does not. missing: not on this machine. apart: the standard library, and us.
Kind = Literal["torch", "local", "library", "other", "missing", "apart"]

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
        # The first entry of a program's path is its own folder: that of sd-mock, here.
        mine = ("", str(Path(sys.argv[0]).absolute().parent), shim)
        path = [entry for entry in sys.path if entry not in mine] if path is None else path
        self.path = [str(folder), *path]
        self.find = cache(self._find)
        self.kind = cache(self._kind)
        self.uses_torch = cache(self._uses_torch)
        self.is_lazy = cache(self._is_lazy)
        self.distribution = cache(self._distribution)
        self.by_package = cache(self._by_package)

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

    def file(self, name: str) -> Path:
        """The file of a module that has one."""
        found = self.find(name)
        assert found is not None and found.file is not None
        return found.file

    def _kind(self, package: str) -> Kind:
        """Whose the top-level `package` is."""
        if package == "torch":
            return "torch"
        if package in sys.stdlib_module_names or package in ("oneflow", "sdbackends"):
            return "apart"
        found = self.find(package)
        if found is None:
            return "missing"
        place = found.file or Path(next(iter(found.folders or ()), ""))
        distribution = self.distribution(package)
        if distribution is None and not _SITE & set(place.parts):
            return "local"
        if distribution is None or _names_torch(distribution):
            return "library"
        return "other"

    def version(self, package: str) -> str:
        """Version of the distribution that brings `package`; empty where there is none."""
        distribution = self.distribution(package)
        return distribution.version if distribution else ""

    def _distribution(self, package: str) -> importlib.metadata.Distribution | None:
        named = importlib.metadata.distributions(name=package, path=self.path)
        return next(iter(named), None) or self.by_package().get(package)

    def _by_package(self) -> dict[str, importlib.metadata.Distribution]:
        found = importlib.metadata.distributions(path=self.path)
        return {name: distribution for distribution in found for name in _brings(distribution)}

    def installed(self, package: str) -> bool | None:
        """Whether `package` can be found; None for a word that no package has for a name here."""
        if package == "torch":
            return True
        return True if package.isidentifier() and self.find(package) else None

    def _uses_torch(self, name: str) -> bool:
        """Whether this one file of another package imports torch itself."""
        found = self.find(name)
        text = _text(found)
        return b"torch" in text and _USES_TORCH.search(text) is not None

    def _is_lazy(self, name: str) -> bool:
        """Whether this is a package that imports what it is asked for."""
        found = self.find(name)
        return found is not None and found.is_package and is_lazy(_text(found))


def _text(found: Found | None) -> bytes:
    try:
        return found.file.read_bytes() if found and found.file else b""
    except OSError:
        return b""


def _by_other_finders(name: str) -> ModuleSpec | None:
    """Editable installs bring finders of their own; a top-level name runs nothing."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _python_file(spec: ModuleSpec) -> Path | None:
    origin = spec.origin
    return Path(origin) if spec.has_location and origin and origin.endswith(".py") else None


def _brings(distribution: importlib.metadata.Distribution) -> set[str]:
    """The packages that a distribution of another name installs (Pillow: PIL)."""
    declared = distribution.read_text("top_level.txt")
    if declared is not None:
        return set(declared.split())
    # As text: the file list of one large package takes a second to make into paths.
    record = distribution.read_text("RECORD") or ""
    firsts = {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}
    return {first.removesuffix(".py") for first in firsts}


def _names_torch(distribution: importlib.metadata.Distribution) -> bool:
    for line in distribution.requires or ():
        try:
            if Requirement(line).name.lower() == "torch":
                return True
        except InvalidRequirement:
            continue
    return False
