"""`import sdbackends` costs next to nothing and brings no framework along."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "torch",
    "jax",
    "diffusers",
    "transformers",
    "numpy",
    "pydantic",
    "yaml",
    "typer",
    "rich",
}
MEASURE = """
import json, sys, time
before = time.perf_counter()
import sdbackends
seconds = time.perf_counter() - before
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def measure() -> tuple[float, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


def test_no_framework_is_imported() -> None:
    _, modules = measure()
    assert "sdbackends" in modules
    assert not modules & HEAVY


def test_the_import_is_fast() -> None:
    # The fastest of five: a busy machine makes single runs slow, never fast.
    assert min(measure()[0] for _ in range(5)) < 0.2
