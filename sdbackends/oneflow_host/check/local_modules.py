"""Which modules are a person's own, and where their files stand; nothing is imported to find out.

Local is what stands in the script's own folder, or below it, or in a folder that `PYTHONPATH`
names. Everything else is not read: the standard library, and what is installed, be it in
`site-packages` or editable, whose versions are pinned and tried by those who release it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sdbackends.paths import shim_dir

#: apart: the standard library, OneFlow, and us.
Kind = Literal["torch", "local", "installed", "missing", "apart"]

_SITE = frozenset({"site-packages", "dist-packages"})
_APART = frozenset({*sys.stdlib_module_names, "__main__", "oneflow", "sdbackends"})


@dataclass(frozen=True, slots=True)
class Found:
    """A module's file (None: a namespace package), and a package's folders."""

    file: Path | None
    folders: tuple[Path, ...] = ()


class LocalModules:
    """Those of a script in `folder`; `path` are further folders (default: `PYTHONPATH`)."""

    def __init__(self, folder: Path, path: Sequence[str] | None = None) -> None:
        if path is None:
            path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        further = [Path(entry).absolute() for entry in path if entry and Path(entry) != shim_dir()]
        self.folders = tuple(
            place for place in (folder, *further) if not _SITE.intersection(place.parts)
        )
        self.find = cache(self._find)
        self.kind = cache(self._kind)

    def _find(self, name: str) -> Found | None:
        """The local module called `name`, or None."""
        parent, _, last = name.rpartition(".")
        package = self.find(parent) if parent else None
        found = _in_folders(last, package.folders if package else () if parent else self.folders)
        # Python takes an installed package before a folder without an __init__ of the same name.
        shadowed = found is not None and not found.file and not parent and _has_file(name)
        return None if shadowed else found

    def _kind(self, package: str) -> Kind:
        """Whose the top-level `package` is."""
        if package == "torch":
            return "torch"
        if package in _APART:
            return "apart"
        if self.find(package) is not None:
            return "local"
        return "installed" if _spec(package) is not None else "missing"


def _in_folders(name: str, folders: Sequence[Path]) -> Found | None:
    for folder in folders:
        if (package := folder / name / "__init__.py").is_file():
            return Found(package, (package.parent,))
        if (file := folder / f"{name}.py").is_file():
            return Found(file)
    portions = tuple(folder / name for folder in folders if (folder / name).is_dir())
    return Found(None, portions) if portions else None


def _spec(package: str) -> importlib.machinery.ModuleSpec | None:
    """What this Python has under that name; finding a top-level one runs nothing of it."""
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def _has_file(package: str) -> bool:
    spec = _spec(package)
    return spec is not None and spec.origin is not None
