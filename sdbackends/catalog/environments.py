"""Worker environments: the Pythons in which engines run that the script's own Python cannot hold.

An environment is data, `backends/environments/NAME.yaml`: a Python, pinned requirements, and what
must be importable in the end. `sdbackends env create NAME` makes it (`environment_making`); this
module says where it stands and what it lacks. It is judged from files alone, never by starting
it. A stamp, written last, says from what it was made: without one the making was interrupted,
with another one the yaml has changed since.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sdbackends import paths
from sdbackends.catalog import yaml_file
from sdbackends.catalog.field_types import Modules, RequirementLine, VersionRange
from sdbackends.catalog.requirements import MissingRequirement
from sdbackends.errors import NoHomeError, UsageError
from sdbackends.settings import Settings

#: Inside the environment's folder; what it was made from.
STAMP = "made-from.json"
_SIZES = {"MB": 10**6, "GB": 10**9}


class Environment(BaseModel):
    """One file of `backends/environments/`; `name` is the file's stem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str = Field(min_length=1)
    #: Versions of CPython that it can be made with.
    python: VersionRange
    #: What is installed, pinned; the dependencies too, so that it is the same everywhere.
    requirements: tuple[RequirementLine, ...]
    modules: Modules
    #: What it takes on the disk: "4 GB".
    size: str
    #: Where its wheels exist: "linux-x86_64"; empty: everywhere.
    platforms: tuple[str, ...] = ()

    @field_validator("requirements")
    @classmethod
    def _are_pinned(cls, requirements: tuple[str, ...]) -> tuple[str, ...]:
        for line in requirements:
            requirement = Requirement(line)
            pins = [spec for spec in requirement.specifier if spec.operator in ("==", "===")]
            if requirement.url is None and not pins:
                raise ValueError(f'{line!r} is not pinned: "{requirement.name}==VERSION"')
        return requirements

    @field_validator("size")
    @classmethod
    def _is_size(cls, text: str) -> str:
        if re.fullmatch(r"\d+(\.\d+)? (MB|GB)", text) is None:
            raise ValueError(f'{text!r} is no size such as "4 GB"')
        return text

    @property
    def bytes(self) -> int:
        number, unit = self.size.split()
        return int(float(number) * _SIZES[unit])

    @property
    def made_from(self) -> dict[str, Any]:
        """What the stamp holds; another one means that the environment is out of date."""
        return {
            "name": self.name,
            "python": self.python,
            "requirements": list(self.requirements),
        }


def names() -> tuple[str, ...]:
    """Every environment's name, in alphabetical order."""
    return tuple(sorted(path.stem for path in _files().glob("*.yaml")))


def load(name: str) -> Environment:
    """The environment called `name`.

    Raises:
        UsageError: no such file.
        CatalogError: the file cannot be read or breaks the schema.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name.lower(), known, n=1)
        raise UsageError(
            f"there is no environment {name!r}",
            why=f"the environments are: {', '.join(known) or 'none'}",
            fix=f"did you mean {near[0]!r}?" if near else "`sdbackends env list` shows them",
        )
    return yaml_file.read(_files() / f"{name}.yaml", Environment, a_good_one="oneflow.yaml")


def all() -> tuple[Environment, ...]:
    """Every environment, in alphabetical order."""
    return tuple(load(name) for name in names())


def folder(name: str) -> Path:
    """Where the environment stands, or will stand."""
    # absolute: `create` runs in it, and a stamp with a relative path would be true in one folder
    return Settings.from_environment().environments_folder.absolute() / name


def python_in(folder: Path) -> Path:
    """The interpreter of the environment in `folder`."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def interpreter(name: str) -> Path | None:
    """The environment's Python when the environment is complete and true, else None."""
    return None if lacks(name) else python_in(folder(name))


def version(name: str) -> str | None:
    """Installed version of the engine's package in the environment, or None."""
    module = next(iter(load(name).modules))
    try:
        return _version(module, _site_packages(folder(name)))
    except (OSError, NoHomeError):  # there is no place for it, or none that can be looked at
        return None


def fix(name: str) -> str:
    """The command that makes the environment, or makes it anew."""
    return f"sdbackends env create {name}"


def lacks(name: str) -> list[MissingRequirement]:
    """What keeps the environment from being used; empty: it is ready."""
    environment = load(name)
    elsewhere = platform_lacks(environment)
    if elsewhere:
        return elsewhere
    try:
        why = _trouble(environment, folder(name))
    except NoHomeError as error:
        return [
            MissingRequirement(
                f"there is no place for the environment {name!r}: {error.what}", error.fix
            )
        ]
    except OSError as error:
        why = f"the environment {name!r} cannot be looked at: {error}"
        return [MissingRequirement(why, "set SD_ENV_DIR to a folder of your own")]
    return [MissingRequirement(f"the environment {name!r} {why}", fix(name))] if why else []


def platform_lacks(environment: Environment) -> list[MissingRequirement]:
    """Empty when the environment can exist on this kind of machine."""
    here = this_platform()
    if not environment.platforms or here in environment.platforms:
        return []
    why = (
        f"the environment {environment.name!r} is for {', '.join(environment.platforms)}, "
        f"this is {here}"
    )
    return [
        MissingRequirement(why, "choose another backend on this machine: `sdbackends backends`")
    ]


def this_platform() -> str:
    """This machine in the words of `platforms:`."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{'x86_64' if machine == 'amd64' else machine}"


def _trouble(environment: Environment, place: Path) -> str | None:
    """What is wrong with the environment in `place`: the end of a sentence."""
    if not place.is_dir():
        return f"is not made yet ({environment.size})"
    stamp = _stamp(place)
    if stamp is None:
        return "is incomplete: it is being made, or making it was interrupted"
    if stamp != environment.made_from:
        return "is out of date: it was made from other requirements than are asked for now"
    python = python_in(place)
    if not python.exists():  # follows the link to the Python that it was made with
        gone = python.readlink() if python.is_symlink() else python
        return f"is broken: its Python is gone ({gone})"
    if not os.access(python, os.X_OK):
        return f"is broken: its Python cannot be run ({python})"
    wrong = _wrong_versions(environment, _site_packages(place))
    return f"is broken: {'; '.join(wrong)}" if wrong else None


def _wrong_versions(environment: Environment, site: Path | None) -> list[str]:
    wrong = []
    for module, accepted in environment.modules.items():
        installed = _version(module, site)
        if installed is None:
            wrong.append(f"{module} is not in it")
        elif not SpecifierSet(accepted).contains(Version(installed), prereleases=True):
            wrong.append(f"{module} {installed} is in it, {accepted} is needed")
    return wrong


def _stamp(place: Path) -> dict[str, Any] | None:
    try:
        stamp = json.loads((place / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def _site_packages(place: Path) -> Path | None:
    patterns = ("lib/python3.*/site-packages", "Lib/site-packages")
    return next((site for pattern in patterns for site in place.glob(pattern)), None)


def _version(module: str, site: Path | None) -> str | None:
    """Version of `module` by its metadata in `site`, if the module itself lies there too."""
    if site is None or not ((site / module).is_dir() or (site / f"{module}.py").is_file()):
        return None
    found = importlib.metadata.distributions(name=module, path=[str(site)])
    return next((distribution.version for distribution in found), None)


def _files() -> Path:
    return paths.backends_dir() / "environments"
