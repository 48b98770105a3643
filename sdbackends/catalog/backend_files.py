"""`backends/*.yaml` in, checked `Backend` records out; and what each of them lacks on this machine.

A backend is data: an engine's name, the packages that it needs and the options it is built with.
A file that breaks the schema, or gives the engine an option that it does not have, is refused with
its line and key, whether the engine can run here or not. Readiness is judged from package
metadata and the file system alone (`catalog/requirements.py`): nothing here imports torch or jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sdbackends.catalog import environments, yaml_file
from sdbackends.catalog import requirements as machine
from sdbackends.catalog.field_types import Modules, RequirementLine, VersionRange
from sdbackends.catalog.requirements import MissingRequirement
from sdbackends.engines import ENGINES, option_record, own_module
from sdbackends.errors import BackendNotReadyError
from sdbackends.paths import backend_file, backend_names, check_backend
from sdbackends.settings import Precision

Device = Literal["cpu", "cuda", "tpu"]
SomePrecisions = Annotated[tuple[Precision, ...], Field(min_length=1)]


def _form(precisions: object) -> str:
    return "mapping" if isinstance(precisions, dict) else "list"


class Backend(BaseModel):
    """One file of `backends/` or of the user's own folder; `name` is the file's stem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    engine: str
    summary: str = Field(min_length=1)
    #: What `import torch` gives: the real torch, or oneflow dressed as torch.
    host: Literal["torch", "oneflow"] = "torch"
    #: The environment that the engine's process runs in, a file of `backends/environments/`;
    #: None: the engine runs in the script's own process.
    worker: str | None = None
    #: Versions of Python on which the engine runs.
    python: VersionRange = ">=3.10"
    #: What to install, pinned to versions that were tried together.
    requirements: tuple[RequirementLine, ...] = Field(min_length=1)
    modules: Modules
    #: Programs that the engine calls; "c++" stands for a compiler by any name.
    programs: tuple[Literal["c++"], ...] = ()
    options: dict[str, Any] = {}
    #: For every device, or by device.
    precisions: Annotated[
        Annotated[SomePrecisions, Tag("list")]
        | Annotated[dict[Device, SomePrecisions], Tag("mapping")],
        Discriminator(_form),
    ]
    devices: tuple[Device, ...] = Field(min_length=1)
    #: Rank in `auto` by device; a device that is absent is never chosen by `auto`.
    auto: dict[Device, int] = {}
    expect: str = ""

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, engine: str) -> str:
        if engine not in ENGINES and own_module(engine) is None:
            known = ", ".join(sorted(ENGINES))
            raise ValueError(f"no engine {engine!r}; engines: {known}, or your own: module:Class")
        return engine

    @field_validator("host")
    @classmethod
    def _named_as_one(cls, host: str, info: ValidationInfo) -> str:
        # The shim tells a host by its name, because it runs before any yaml can be read.
        if host != "torch" and not info.data["name"].endswith("-host"):
            raise ValueError("the name of a backend with a host of its own must end in '-host'")
        return host

    @field_validator("options")
    @classmethod
    def _are_the_engines(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        known = {"engine", "host"} <= info.data.keys()  # they are right themselves
        record = option_record(info.data["engine"], info.data["host"]) if known else None
        if record is not None:
            record.model_validate(options)  # its errors keep their places below this one
        return options

    @field_validator("worker")
    @classmethod
    def _known_environment(cls, worker: str | None) -> str | None:
        if worker is not None and worker not in environments.names():
            known = ", ".join(environments.names()) or "none"
            raise ValueError(f"no environment {worker!r}; environments: {known}")
        return worker

    @model_validator(mode="after")
    def _precisions_for_each_device(self) -> Backend:
        if isinstance(self.precisions, dict) and set(self.precisions) != set(self.devices):
            raise ValueError(
                f"precisions are for {', '.join(self.precisions) or 'none'}, "
                f"but devices are {', '.join(self.devices)}"
            )
        return self

    def precisions_on(self, device: str | None) -> tuple[Precision, ...]:
        """The precisions that the engine has on `device` ("cpu", "cuda", "cuda:1", "tpu").

        None, or a device that the backend does not have: those that it has on any of its devices.
        """
        if isinstance(self.precisions, tuple):
            return self.precisions
        kind = (device or "").partition(":")[0]
        for own, precisions in self.precisions.items():
            if own == kind:
                return precisions
        every = (one for precisions in self.precisions.values() for one in precisions)
        return tuple(dict.fromkeys(every))


@dataclasses.dataclass(frozen=True)
class Readiness:
    """Whether a backend can run here. `installed`: version of the engine's package, or None.

    The engine's package is the one of the worker's environment, where the backend has one.
    """

    ready: bool
    installed: str | None
    reasons: tuple[MissingRequirement, ...]


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
    if name == "auto":
        return auto()
    return yaml_file.read(backend_file(name), Backend, a_good_one="torch.yaml")


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
    """What `backend` lacks on this machine, each with the command that fixes it."""
    lacks = [
        # What this Python lacks does not matter where another one is needed.
        *(
            machine.python_lacks(backend.python, backend.requirements)
            or machine.module_lacks(backend.modules, backend.requirements)
        ),
        *machine.engine_lacks(own_module(backend.engine)),
        *(machine.compiler_lacks() if "c++" in backend.programs else ()),
        *(environments.lacks(backend.worker) if backend.worker else ()),
    ]
    if backend.worker:
        installed = environments.version(backend.worker)
    else:
        installed = machine.version(next(iter(backend.modules)))
    return Readiness(not lacks, installed, tuple(lacks))


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


def _not_ready(what: str, lacks: Sequence[MissingRequirement]) -> BackendNotReadyError:
    fixes = dict.fromkeys(lack.fix for lack in lacks)
    return BackendNotReadyError(
        what,
        why="; ".join(lack.why for lack in lacks),
        fix="\n       ".join(fixes) or "`sdbackends doctor` says what is missing",
    )
