"""An op that both tables have stands in the file of the same name in both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sdbackends.paths import package_dir
from sdbackends.runtime.engine_pool import worker_environment

#: Which file registers each overload, seen from `LoweringTable.add`.
_SCRIPT = """
import importlib, json, sys
from sdbackends.engines.lowering.table import LoweringTable

package, files, add = sys.argv[1], {}, LoweringTable.add

def noted(table, overloads, lowering):
    overloads = list(overloads)
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] == f"{package}.registry":
        frame = frame.f_back
    files.update((name, frame.f_globals["__name__"].rpartition(".")[2]) for name in overloads)
    add(table, overloads, lowering)

LoweringTable.add = noted
importlib.import_module(package)
print(json.dumps(files))
"""


def files(python: Path, engine: str) -> dict[str, str]:
    """The module's name for each overload of the engine's table."""
    command = [python, "-c", _SCRIPT, f"sdbackends.engines.{engine}.ops"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package_dir().parent)},
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_both_engines_have_an_op_in_the_same_file() -> None:
    jax = files(Path(sys.executable), "jax")
    oneflow = files(worker_environment("oneflow").python, "oneflow")
    assert len(jax) > 200 and len(oneflow) > 200
    common = jax.keys() & oneflow.keys()
    elsewhere = {op: (jax[op], oneflow[op]) for op in sorted(common) if jax[op] != oneflow[op]}
    assert not elsewhere
