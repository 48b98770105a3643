"""What this machine has: packages, a compiler, a GPU; without importing any framework.

Every question is answered from package metadata and the file system, and every lack comes with
the exact command that fixes it. `backend_files.readiness` asks what one backend needs; `doctor`
asks about the machine as a whole.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sdbackends.paths import shim_dir

#: Where the system has its devices.
_DEVICES = Path("/dev")


@dataclass(frozen=True)
class MissingRequirement:
    """Something that is missing or wrong, and the command that fixes it."""

    why: str
    fix: str


def version(package: str) -> str | None:
    """Installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def importable(module: str) -> bool:
    """Whether an import would find `module`; the shim's stand-ins do not count."""
    shim = shim_dir()
    if not (shim / module).exists():
        return importlib.util.find_spec(module) is not None
    elsewhere = [entry for entry in sys.path if not _same(Path(entry or "."), shim)]
    return importlib.machinery.PathFinder.find_spec(module, elsewhere) is not None


def gpu() -> bool:
    """Whether an NVIDIA GPU is there to be used (torch is not asked: it may be a CPU build)."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    # In a container a card keeps the number that it has on its host: the only one may be nvidia3.
    if any(_DEVICES.glob("nvidia[0-9]*")):
        return True
    through_windows = sys.platform == "win32" or (_DEVICES / "dxg").exists()
    return through_windows and bool(shutil.which("nvidia-smi"))


def cuda_torch() -> bool:
    """Whether the installed torch is a CUDA build, as far as its version and parts tell."""
    installed = version("torch") or ""
    if "+" in installed:
        return "+cu" in installed
    requires = importlib.metadata.requires("torch") if installed else None
    return platform.system() == "Linux" and any("nvidia" in line for line in requires or ())


@functools.cache
def has_bf16_units() -> bool:
    """Whether this CPU multiplies bfloat16 itself; others take five times float32's time for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def tpu() -> bool:
    """Whether a TPU and the library that talks to it are there."""
    return importable("libtpu") and Path("/dev/accel0").exists()


def device() -> Literal["cpu", "cuda", "tpu"]:
    """The best device of this machine."""
    if gpu() and cuda_torch():
        return "cuda"
    return "tpu" if tpu() else "cpu"


def python_lacks(accepted: str, requirements: Iterable[str] = ()) -> list[MissingRequirement]:
    """Empty when this Python is accepted. `requirements` are what another one would need."""
    running = platform.python_version()
    if SpecifierSet(accepted).contains(running, prereleases=True):
        return []
    fix = f"use an environment with Python {accepted}"
    if wanted := shlex.join(requirements):
        fix += f", and in it: python -m pip install {wanted}"
    return [MissingRequirement(f"it needs Python {accepted}, this is {running}", fix)]


def engine_lacks(module: str | None) -> list[MissingRequirement]:
    """Empty when the module of an engine from outside the package can be found (None: none is)."""
    if module is None or importable(module.partition(".")[0]):
        return []
    why = f"its engine's module {module} is not there"
    return [
        MissingRequirement(
            why, f"put the folder that {module} stands in on PYTHONPATH, or install it"
        )
    ]


def module_lacks(
    modules: Mapping[str, str], requirements: Iterable[str]
) -> list[MissingRequirement]:
    """Which of `modules` (import name -> accepted versions) are missing, too old or at odds."""
    pins = {Requirement(line).name: line for line in requirements}
    lacks = []
    for module, accepted in modules.items():
        installed = version(module)
        fix = pip_install(pins.get(module, f"{module}{accepted}"))
        if installed is None or not importable(module):
            lacks.append(MissingRequirement(f"{module} is not installed", fix))
        elif not SpecifierSet(accepted).contains(Version(installed), prereleases=True):
            lacks.append(
                MissingRequirement(f"{module} {installed} is installed, {accepted} is needed", fix)
            )
        else:
            lacks += _peer_lacks(module, modules, pins)
    return lacks


def compiler_lacks() -> list[MissingRequirement]:
    """Empty when the C++ compiler that inductor calls is there."""
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(wanted):
        return []
    return [MissingRequirement(f"no C++ compiler: {wanted!r} is not on PATH", _compiler_command())]


def pip_install(*requirements: str) -> str:
    """The command that installs these into the running Python's environment."""
    return f"{python()} -m pip install {shlex.join(requirements)}"


def python() -> str:
    """The running Python, as a word of a shell command."""
    return shlex.quote(sys.executable)


def _peer_lacks(
    module: str, modules: Mapping[str, str], pins: Mapping[str, str]
) -> list[MissingRequirement]:
    """Installed packages of `modules` that `module`'s own metadata does not accept."""
    lacks = []
    for line in importlib.metadata.requires(module) or ():
        # transformers asks for hundreds: reading only the few that matter saves half a second.
        if not line.startswith(tuple(modules)):
            continue
        need = Requirement(line)
        installed = version(need.name) if need.name in modules else None
        if installed is None or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        if not need.specifier.contains(Version(installed), prereleases=True):
            why = f"{module} {version(module)} needs {need.name}{need.specifier}, not {installed}"
            both = (pins.get(module, module), pins.get(need.name, str(need)))
            lacks.append(MissingRequirement(why, pip_install(*both)))
    return lacks


def _compiler_command() -> str:
    """How this machine's package manager installs a C++ compiler."""
    commands = {
        "apt-get": "sudo apt-get install -y g++",
        "dnf": "sudo dnf install -y gcc-c++",
        "yum": "sudo yum install -y gcc-c++",
        "pacman": "sudo pacman -S --noconfirm gcc",
        "zypper": "sudo zypper install -y gcc-c++",
        "apk": "sudo apk add g++",
        "conda": "conda install -y gxx",
    }
    if sys.platform == "darwin":
        return "xcode-select --install"
    found = (command for manager, command in commands.items() if shutil.which(manager))
    return next(found, "install g++, or set CXX to a C++ compiler")


def _same(first: Path, second: Path) -> bool:
    try:
        return first.resolve() == second.resolve()
    except OSError:
        return False
