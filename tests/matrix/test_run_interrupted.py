"""Ctrl-C in a run that really measures: what is done stays, and --resume does the rest alone."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow
MATRIX = """\
tolerances:
  fp32: &some {part_max_relative: 0.1, reason: a test}
  bf16: *some
full: &part
  terms: {repeats: 1, warmups: 1, seconds: 200, memory: 8 GB}
  axes: {pipeline: stable_diffusion, model: embedded, backend: torch, precision: [fp32, bf16],
         size: 64, batch: 1, steps: 2, scheduler: ddim, device: cpu}
quick: *part
"""
#: A shell may have started the tests in the background, where Ctrl-C is ignored; somebody may
#: commit while they run; and ceilings take ten seconds.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sdbackends.matrix import machine, peak_probe
from sdbackends.matrix.results import Ceilings
machine.commit = lambda: "abc"
peak_probe.ceilings = lambda: Ceilings(copy_bytes=1.0)
sys.argv[0] = "sdbackends"
from sdbackends.cli import main
main()
"""


def begin(folder: Path, *more: str) -> subprocess.Popen[str]:
    words = ["matrix", "--file", "mine.yaml", "--output", ".", "--name", "one", *more]
    return subprocess.Popen(
        [sys.executable, "-c", START, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cells(folder: Path) -> list[dict[str, Any]]:
    files = list(folder.glob("*/one.json"))
    return json.loads(files[0].read_text())["cells"] if files else []


def until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def scripts_of(run: psutil.Process) -> list[psutil.Process]:
    return [one for one in run.children(recursive=True) if is_script(one)]


def is_script(process: psutil.Process) -> bool:
    # It may end between the two questions; the others still count.
    with contextlib.suppress(psutil.NoSuchProcess):
        return any("stable_diffusion" in word for word in process.cmdline())
    return False


def interrupt(folder: Path, process: subprocess.Popen[str], how: signal.Signals) -> str:
    """In the second cell, while a script of it is at work; what the run says at its end."""
    own = psutil.Process(process.pid)
    until(lambda: cells(folder) and scripts_of(own), process)
    scripts = scripts_of(own)
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert not psutil.wait_procs(scripts, timeout=10)[1], "a script was left behind"
    return said


def test_ctrl_c_keeps_the_first_cell_and_resume_measures_the_second(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MATRIX)
    said = interrupt(tmp_path, begin(tmp_path), signal.SIGINT)
    assert "--resume --name one" in said and "report.html" in said
    (first,) = cells(tmp_path)
    assert (first["cell"]["precision"], first["outcome"]) == ("fp32", "ok")

    # What nox and a batch system send.
    interrupt(tmp_path, begin(tmp_path, "--resume"), signal.SIGTERM)
    assert cells(tmp_path) == [first]

    last = begin(tmp_path, "--resume")
    said, _ = last.communicate(timeout=200)
    assert last.returncode == 0, said
    assert f"kept           {first['command'].split()[-1]}" in said
    kept, second = cells(tmp_path)
    assert kept == first
    assert (second["cell"]["precision"], second["outcome"]) == ("bf16", "ok")
    assert second["agreement"]["image_max"] is not None
