"""Which worker is meant: its interpreter, its engine, its limits, the environment it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Variables of the person's own Python that would lead another interpreter astray, and those by
#: which a launcher (torchrun, accelerate) makes a process one of many: OneFlow would wait for the
#: others. What is not named here is kept: PATH, HOME, LANG, CUDA_*, OMP_NUM_THREADS, proxies, …
_REMOVED = {
    "LD_PRELOAD",
    "LD_AUDIT",
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "COVERAGE_PROCESS_START",
    "MASTER_ADDR",
    "MASTER_PORT",
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
}
_REMOVED_PREFIXES = ("SD_", "PYTHON", "CONDA_", "_CONDA_", "__PYVENV_")


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is started with.

    `engine` is "module:function" (see server.py), called with `options` (JSON). `environ` is added
    to a cleaned copy of this process's environment. `path` holds extra folders to import from.
    The timeouts are in seconds; past them the worker is ended.
    """

    name: str
    python: Path
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = ()
    start_timeout: float = 120.0
    build_timeout: float = 600.0
    call_timeout: float = 600.0


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` without what belongs to the person's own Python and to sdbackends itself."""
    return {
        name: value
        for name, value in env.items()
        if name not in _REMOVED and not name.startswith(_REMOVED_PREFIXES)
    }
