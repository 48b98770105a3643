"""The machine's ceilings: how fast it multiplies, convolves and copies when it does nothing else.

Measured at the start of a run, in a process of its own (`matrix/measure/peak_flops.py`), because
torch must not be loaded here. It takes a few seconds. A machine on which torch cannot say has no
ceilings, and its report has no shares of them; the run goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys

from pydantic import ValidationError

from sdbackends import log, paths
from sdbackends.launch import start
from sdbackends.matrix.results import Ceilings

_LIMIT_SECONDS = 90.0


def ceilings() -> Ceilings:
    """FLOP/s by `figures.ceiling_name`, and bytes/s of the best device; empty, and said so, where
    nothing could be measured.
    """
    command = [sys.executable, "-m", "sdbackends.matrix.measure.peak_flops"]
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _none(f"the probe was not done after {_LIMIT_SECONDS:.0f} s")
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return _none((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    try:
        return Ceilings.model_validate_json(lines[-1])
    except ValidationError:
        return _none("the probe answered in words that are not its own")


def _environment() -> dict[str, str]:
    """This process's own, less the shim and every choice: plain torch is measured."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SD_")}
    home = str(paths.package_dir().resolve().parent)
    path = (home, start.without_shim(os.environ.get("PYTHONPATH")))
    # As in the cells: without it NVIDIA's libraries take TF32 for what is called fp32.
    own = {"PYTHONPATH": os.pathsep.join(filter(None, path)), "NVIDIA_TF32_OVERRIDE": "0"}
    return {**env, **own}


def _none(why: str) -> Ceilings:
    log.warn(f"this machine's ceilings could not be measured: {why}")
    return Ceilings()
