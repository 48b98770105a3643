"""The lowering of an op stands in the file of its family, in both engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.capture.opset import FAMILIES
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


@pytest.mark.parametrize("engine", ["jax", "oneflow"])
def test_a_lowering_stands_in_the_file_of_its_family(engine: str) -> None:
    python = worker_environment("oneflow").python if engine == "oneflow" else Path(sys.executable)
    found = files(python, engine)
    assert found
    family = {op: name for name, ops in FAMILIES.items() for op in ops}
    assert found == {op: family[op] for op in found}
