"""Where a run took place: the processor, the GPU and its driver, threads, clocks, the commit.

Everything is read from the system, the GPU by NVIDIA's own tool; no framework is asked. Nothing
here tells whose machine it is: results are shown to others.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from sdbackends import paths
from sdbackends._version import __version__
from sdbackends.catalog import requirements
from sdbackends.matrix.load_monitor import cores
from sdbackends.matrix.results import Machine

_MIB = 1 << 20
#: What a processor's or a card's maker adds to every name.
_NOISE = r"\(r\)|\(tm\)|\b(cpu|gpu|processor|nvidia|corporation|with radeon graphics)\b|@.*$"


def describe() -> Machine:
    """This machine, as far as it lets itself be asked."""
    gpu = _Gpu.first()
    usable = len(cores())
    cpu = _cpu()
    return Machine(
        name=short_name(gpu.name) if gpu else f"{short_name(cpu)}-{usable}c",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=cpu,
        cores=usable,
        threads=_threads(usable),
        memory_bytes=psutil.virtual_memory().total,
        gpu=gpu.name if gpu else None,
        gpu_memory_bytes=gpu.memory_bytes if gpu else None,
        driver=gpu.driver if gpu else None,
        clock_mhz=gpu.clock_mhz if gpu else _clock(),
    )


def commit() -> str:
    """The commit of this checkout, with "+changes" where files differ from it.

    A copy of a checkout without its history may carry the commit in a file COMMIT. Elsewhere the
    version: "sdbackends 0.1.0".
    """
    place = paths.pipelines_dir().parent
    head = _said("git", "-C", str(place), "rev-parse", "--show-toplevel", "HEAD")
    top, _, revision = (head or "").partition("\n")
    # A wheel may lie in an environment inside somebody else's checkout.
    if not revision or Path(top).resolve() != place.resolve():
        return _read(place / "COMMIT").strip() or f"sdbackends {__version__}"
    changes = _said("git", "-C", str(place), "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if changes else revision


def short_name(chip: str) -> str:
    """A chip's name as the name of a folder: "NVIDIA H100 80GB HBM3" is "h100-80gb-hbm3"."""
    words = re.sub(_NOISE, " ", chip, flags=re.IGNORECASE)
    words = re.sub(r"\b\d+-core\b", " ", words, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.") or "machine"


class _Gpu:
    """The card that would be used, as the driver describes it."""

    def __init__(self, name: str, memory_mib: str, driver: str, clock_mhz: str) -> None:
        self.name, self.driver = name, driver
        self.memory_bytes = int(float(memory_mib) * _MIB) if _is_number(memory_mib) else None
        self.clock_mhz = float(clock_mhz) if _is_number(clock_mhz) else None

    @classmethod
    def first(cls) -> _Gpu | None:
        if not requirements.gpu():
            return None
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
        fields = "name,memory.total,driver_version,clocks.max.sm"
        ask = ("nvidia-smi", f"--id={chosen}", f"--query-gpu={fields}")
        lines = (_said(*ask, "--format=csv,noheader,nounits") or "").splitlines()
        words = [word.strip() for word in lines[0].split(",")] if lines else []
        return cls(*words) if len(words) == 4 else None


def _cpu() -> str:
    if sys.platform == "darwin":
        return _said("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    if sys.platform == "win32":
        return platform.processor() or platform.machine()
    # lscpu knows the names of Arm's processors, which /proc/cpuinfo has as numbers only
    for text in (_read("/proc/cpuinfo"), _said("lscpu") or ""):
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE | re.IGNORECASE)
        if found and found[1].strip(" -"):
            return found[1].strip()
    return platform.machine()


def _clock() -> float | None:
    """The highest clock where it is known, else the present one."""
    try:
        clock = psutil.cpu_freq()
    except (NotImplementedError, OSError, AttributeError):
        return None
    return (clock.max or clock.current or None) if clock else None


def _threads(usable: int) -> int:
    """How many threads torch takes: OpenMP's variable, else one a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else usable


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _said(*command: str) -> str | None:
    """What the command prints; None where it is missing, fails, or takes too long."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
