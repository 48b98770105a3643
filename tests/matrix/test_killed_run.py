"""A real run that is stopped in the middle of a cell: what is done is kept, no more is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.matrix.small_matrix import SmallMatrix, tree

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are sent"),
]


def command_line(process: psutil.Process) -> str:
    # Between two questions a process may end, or be a zombie that nobody has waited for.
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def wait_for_the_hanging_cell(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes of the matrix once the cell, and the reference beside it, are there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        lines = [command_line(one) for one in tree(process)]
        # It hangs in the first picture, when it has long been loaded.
        if any("hanging" in line and "--repeat=3" in line for line in lines):
            time.sleep(5)
            return tree(process)
        time.sleep(0.2)
    raise AssertionError("the cell was never begun")


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    matrix = SmallMatrix(tmp_path, ("torch", "hanging"), limit=600)
    with matrix.start() as process:
        all_of_it = wait_for_the_hanging_cell(process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    assert [result.cell.backend for result in matrix.run().cells] == ["torch"]
    assert (matrix.reports() / "report.html").exists()
    assert not psutil.wait_procs(all_of_it, timeout=10)[1]
    assert list(matrix.temporary.iterdir()) == []


def test_a_run_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    matrix = SmallMatrix(tmp_path, ("hanging",), limit=600)
    with matrix.start() as process:
        all_of_it = wait_for_the_hanging_cell(process)
        assert len(all_of_it) >= 4  # itself, the reference, the cell, the reaper
        process.kill()
    assert not psutil.wait_procs(all_of_it, timeout=20)[1]
    assert list(matrix.temporary.iterdir()) == []
