"""`backends/*.yaml` in, checked `Backend` records out; and what each of them lacks on this machine.

A backend is data: an engine's name, the packages that it needs and the options it is built with.
A file that breaks the schema is refused with its line and key. Readiness is judged from package
metadata and the file system alone (`sdbackends.machine`): nothing here imports torch or jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sdbackends import machine
from sdbackends.engines import ENGINES
from sdbackends.errors import BackendNotReadyError, CatalogError
from sdbackends.machine import Lack
from sdbackends.resources import backend_names, backends_dir, check_backend
from sdbackends.settings import Precision

Device = Literal["cpu", "cuda", "tpu"]


class Backend(BaseModel):
    """One file of `backends/`; `name` is the file's stem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    engine: str
    summary: str = Field(min_length=1)
    #: Versions of Python on which the engine runs.
    python: str = ">=3.10"
    #: What to install, pinned to versions that were tried together.
    requirements: tuple[str, ...] = Field(min_length=1)
    #: Import name -> accepted versions; the first is the engine's own package.
    modules: dict[str, str] = Field(min_length=1)
    #: Programs that the engine calls; "c++" stands for a compiler by any name.
    programs: tuple[Literal["c++"], ...] = ()
    options: dict[str, Any] = {}
    precisions: tuple[Precision, ...] = Field(min_length=1)
    devices: tuple[Device, ...] = Field(min_length=1)
    #: Rank in `auto` by device; a device that is absent is never chosen by `auto`.
    auto: dict[Device, int] = {}
    expect: str = ""

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, engine: str) -> str:
        if engine not in ENGINES:
            raise ValueError(f"no engine {engine!r}; engines: {', '.join(sorted(ENGINES))}")
        return engine

    @field_validator("python")
    @classmethod
    def _is_specifier(cls, text: str) -> str:
        return _specifier(text)

    @field_validator("modules")
    @classmethod
    def _are_specifiers(cls, modules: dict[str, str]) -> dict[str, str]:
        return {name: _specifier(text) for name, text in modules.items()}


@dataclasses.dataclass(frozen=True)
class Readiness:
    """Whether a backend can run here. `installed`: version of the engine's package, or None."""

    ready: bool
    installed: str | None
    reasons: tuple[Lack, ...]


def names() -> tuple[str, ...]:
    """Every backend's name, in alphabetical order."""
    return backend_names()


def load(name: str) -> Backend:
    """The backend called `name`; "auto" gives the best that is ready here.

    Raises:
        UnknownBackendError: no such file.
        CatalogError: the file cannot be read or breaks the schema.
    """
    check_backend(name)
    return auto() if name == "auto" else _read(backends_dir() / f"{name}.yaml")


def all() -> tuple[Backend, ...]:
    """Every backend, in alphabetical order."""
    return tuple(load(name) for name in names())


def auto() -> Backend:
    """The best backend that is ready on this machine.

    The device is cuda where an NVIDIA GPU and a CUDA torch are there, tpu where a TPU is, else
    cpu. Among the ready backends the highest rank for that device wins (`auto:` in the files):
    compile on a GPU; on a CPU jax, else compile, else torch.

    Raises:
        BackendNotReadyError: none is ready.
    """
    device = machine.device()
    ranked = sorted(
        (backend for backend in all() if device in backend.auto),
        key=lambda backend: -backend.auto[device],
    )
    for backend in ranked:
        if readiness(backend).ready:
            return backend
    # The one of least rank asks for least.
    reasons = readiness(ranked[-1]).reasons if ranked else ()
    raise _not_ready(f"no backend is ready on this machine (device {device})", reasons)


def readiness(backend: Backend) -> Readiness:
    """What `backend` lacks on this machine, each with the command that mends it."""
    lacks = [
        *machine.python_lacks(backend.python),
        *machine.module_lacks(backend.modules, backend.requirements),
        *(machine.compiler_lacks() if "c++" in backend.programs else ()),
    ]
    return Readiness(not lacks, machine.version(next(iter(backend.modules))), tuple(lacks))


def require(name: str) -> Backend:
    """`load`, and ready to run.

    Raises:
        BackendNotReadyError: something is missing; the message holds all of it.
    """
    backend = load(name)
    lacks = readiness(backend).reasons
    if lacks:
        raise _not_ready(f"the backend {backend.name!r} is not ready", lacks)
    return backend


def _not_ready(what: str, lacks: Sequence[Lack]) -> BackendNotReadyError:
    mends = dict.fromkeys(lack.mend for lack in lacks)
    return BackendNotReadyError(
        what,
        why="; ".join(lack.why for lack in lacks),
        mend="\n        ".join(mends) or "`sdbackends doctor` says what is missing",
    )


def _read(path: Path) -> Backend:
    try:
        text = path.read_text("utf-8")
        # compose keeps the line of every key, which safe_load forgets.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name} cannot be read", where=str(path), why=str(error)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        why = str(getattr(error, "problem", None) or error)
        raise CatalogError(
            f"{path.name} is not YAML", where=where, why=why, mend="mend that line"
        ) from None
    if not isinstance(data, dict):
        raise CatalogError(
            f"{path.name} holds no mapping",
            where=f"{path}:1",
            why=f"a backend is a mapping of keys to values, this is {type(data).__name__}",
            mend="start from a copy of torch.yaml",
        )
    try:
        return Backend.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        raise _schema_error(path, root, error) from None


def _schema_error(path: Path, root: yaml.Node | None, error: ValidationError) -> CatalogError:
    """All broken keys in one message, the place of the first in `where`."""
    problems = [
        (_line(root, problem["loc"]), ".".join(map(str, problem["loc"])), problem["msg"])
        for problem in error.errors()
    ]
    return CatalogError(
        f"{path.name} breaks the schema",
        where=f"{path}:{problems[0][0]}",
        why="; ".join(f"line {line}, {key}: {message}" for line, key, message in problems),
        mend=f"keys: {', '.join(name for name in Backend.model_fields if name != 'name')}",
    )


def _line(node: yaml.Node | None, keys: tuple[int | str, ...]) -> int:
    """Line (from 1) of the deepest part of `keys` that the file holds."""
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == str(key)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f'{text!r} is no version range such as ">=3.10"') from None
    return text
