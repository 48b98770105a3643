"""What is wrong with this machine, backend by backend, and the command that fixes it.

In come the names asked for; out goes a `DoctorReport`: plain data that the command prints or writes
as JSON. Problems of one backend come from `backend_files.readiness`; the rest are troubles that no
single backend owns: packages that look right and are not, a cache that cannot be written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdbackends.catalog import backend_files, shell_status
from sdbackends.catalog import requirements as machine
from sdbackends.catalog.cache import KINDS
from sdbackends.catalog.requirements import MissingRequirement, pip_install
from sdbackends.errors import NoHomeError
from sdbackends.settings import Settings
from sdbackends.utils import private_folder


@dataclass(frozen=True)
class Diagnosis:
    """One backend: what it lacks; nothing: it is ready."""

    backend: str
    installed: str | None
    lacks: tuple[MissingRequirement, ...]


@dataclass(frozen=True)
class DoctorReport:
    """`machine` holds what is wrong beside the backends; it keeps none of them from running."""

    backends: tuple[Diagnosis, ...]
    machine: tuple[MissingRequirement, ...]
    #: What the scripts of this shell run on.
    shell: shell_status.Status
    #: Whether what was asked for is ready: all that were named, or, with none named, at least one.
    well: bool


def examine(names: Sequence[str]) -> DoctorReport:
    """Look at `names`, or at every backend when there are none.

    Raises:
        UsageError: a name, or that in `SD_BACKEND`, is not a backend.
    """
    shell_status.check_chosen(os.environ)
    backends = [backend_files.load(name) for name in names] or list(backend_files.all())
    found = []
    for backend in backends:
        state = backend_files.readiness(backend)
        found.append(Diagnosis(backend.name, state.installed, state.reasons))
    ready = [not diagnosis.lacks for diagnosis in found]
    shell = shell_status.examine(os.environ)
    return DoctorReport(tuple(found), troubles(), shell, all(ready) if names else any(ready))


def troubles() -> tuple[MissingRequirement, ...]:
    """What is wrong with the machine as a whole."""
    return (*_oneflow_stub(), *_unwanted_cuda(), *_cpu_torch_on_gpu(), *_cache_lacks())


def _oneflow_stub() -> list[MissingRequirement]:
    installed = machine.version("oneflow")
    if installed is None or not installed.startswith("0.7."):
        return []
    why = (
        f"oneflow {installed} is a stub without a library: pip takes it where no real wheel fits "
        "(those are for Python 3.8 to 3.10)"
    )
    return [MissingRequirement(why, f"{machine.python()} -m pip uninstall -y oneflow")]


def _unwanted_cuda() -> list[MissingRequirement]:
    if machine.gpu() or not machine.cuda_torch():
        return []
    installed = machine.version("torch") or ""
    why = f"torch {installed} carries gigabytes of CUDA, and this machine has no GPU"
    return [MissingRequirement(why, _torch_for("cpu", installed))]


def _cpu_torch_on_gpu() -> list[MissingRequirement]:
    installed = machine.version("torch")
    if installed is None or not machine.gpu() or machine.cuda_torch():
        return []
    why = f"torch {installed} is a CPU build, and this machine has a GPU"
    return [MissingRequirement(why, _torch_for("auto", installed))]


def _torch_for(build: str, installed: str) -> str:
    """uv knows where each build of torch lies; pip would have to be told an address."""
    python = machine.python()
    torch = f"torch=={installed.partition('+')[0]}"
    return (
        f"{pip_install('uv')} && {python} -m uv pip install --python {python} "
        f"--torch-backend={build} --reinstall-package torch {torch}"
    )


def _cache_lacks() -> list[MissingRequirement]:
    try:
        folder = Settings.from_environment().cache_folder
    except NoHomeError as error:
        return [MissingRequirement(f"there is no place for the cache: {error.what}", error.fix)]
    try:
        return _cache_folder(folder)
    except OSError as error:
        why = f"the cache folder {folder} cannot be written: {error.strerror}"
        return [MissingRequirement(why, private_folder.elsewhere())]


def _cache_folder(folder: Path) -> list[MissingRequirement]:
    """What keeps the kinds from being written, or from being trusted."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    # Tried, not asked: root is told yes by os.access, and the write fails all the same.
    with tempfile.TemporaryFile(dir=existing):
        pass
    for place in (folder, *(folder / name for name in KINDS)):
        refused = private_folder.refusal(place) if place.exists() else None
        if refused is not None:
            return [MissingRequirement(f"the cache is not used: {refused.why}", refused.fix)]
    return []
