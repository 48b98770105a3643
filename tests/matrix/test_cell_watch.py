"""Limits, endings and trees of processes, on scripts that import nothing heavy."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import psutil
import pytest

from sdbackends.matrix import failures
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.measure.record import Failure, Measured
from sdbackends.matrix.script_process import Limits, ScriptProcess

#: What a script does to draw: the observer's side of the files, without an observer.
DRAWS = """
import os, sys, time
from pathlib import Path
from sdbackends.matrix.measure import turn_taking
from sdbackends.matrix.measure.record import Measured
folder = Path(sys.argv[1])
measured = Measured(phase="drawing")
def draw(number, seconds=0.5):
    turn_taking.wait(folder, number)
    measured.images.append(seconds)
    measured.write(folder)
"""


def start(folder: Path, text: str, seconds: float = 60, size: int = 10**9) -> ScriptProcess:
    file = folder / "script.py"
    file.write_text(DRAWS + textwrap.dedent(text), "utf-8")
    command = [sys.executable, str(file), str(folder)]
    return ScriptProcess(command, dict(os.environ), folder, Limits(seconds, size), in_turn=True)


def test_pictures_are_drawn_one_at_a_time(tmp_path: Path) -> None:
    text = "for n in range(3): draw(n, n + 1.0)\nprint('done')"
    with closing(start(tmp_path, text)) as script:
        assert script.draw(0) == 1.0
        time.sleep(0.2)
        assert len(script.measured().images) == 1  # it waits for its turn
        assert [script.draw(1), script.draw(2)] == [2.0, 3.0]
        assert script.finish().images == [1.0, 2.0, 3.0]
    assert script.log.read_text() == "done\n"
    assert 10**6 < script.peak < 10**9


def test_a_script_that_hangs_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with closing(start(tmp_path, "draw(0)\ntime.sleep(99)", seconds=5)) as script:
        script.draw(0)
        with pytest.raises(CellFailed, match=r"not done after 5 s.*\(drawing\); it hangs") as ended:
            script.finish()
    assert ended.value.outcome == "slow-limit"
    assert time.monotonic() - began < 30


def test_a_script_that_is_busy_does_not_hang(tmp_path: Path) -> None:
    with closing(start(tmp_path, "draw(0)\nwhile True: pass", seconds=4)) as script:
        script.draw(0)
        with pytest.raises(CellFailed) as ended:
            script.finish()
    assert ended.value.outcome == "slow-limit" and "hangs" not in ended.value.reason


def test_the_time_of_others_does_not_count(tmp_path: Path) -> None:
    with closing(start(tmp_path, "for n in range(2): draw(n)", seconds=5)) as script:
        script.draw(0)
        time.sleep(6)
        script.draw(1)
        script.finish()


def test_a_leak_is_ended_and_named(tmp_path: Path) -> None:
    text = """
    held = []
    for n in range(100):
        held.append(bytearray(os.urandom(1) * 40_000_000))
        draw(n)
    """
    with closing(start(tmp_path, text, size=4 * 10**8)) as script:
        with pytest.raises(
            CellFailed, match=r"its limit is 400 MB.*it leaks: [34]\d MB more"
        ) as ended:
            draw_for_ever(script)
        assert ended.value.outcome == "out-of-memory"


def draw_for_ever(script: ScriptProcess) -> None:
    for number in count():
        script.draw(number)
        time.sleep(0.15)


def test_memory_of_workers_counts_and_workers_end_too(tmp_path: Path) -> None:
    text = """
    import subprocess
    grow = "x = bytearray(b'1' * 300_000_000); import time; time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-c", grow], start_new_session=True)
    (folder / "child").write_text(str(child.pid))
    time.sleep(99)
    """
    with closing(start(tmp_path, text, size=2 * 10**8)) as script:
        with pytest.raises(CellFailed) as ended:
            script.draw(0)
        assert ended.value.outcome == "out-of-memory"
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    ("text", "outcome", "words"),
    [
        ("os.abort()", "crashed", "died of SIGABRT"),
        ("os.kill(os.getpid(), 9)", "out-of-memory", "killed from outside"),
        ("sys.exit('error: no such model\\nfix: another')", "crashed", "error: no such model; f"),
        ("raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')", "out-of-memory", ""),
        ("sys.exit(7)", "crashed", "exit code 7 and said nothing"),
        ("pass", "crashed", "before its last picture"),
    ],
)
def test_how_scripts_die(tmp_path: Path, text: str, outcome: str, words: str) -> None:
    with closing(start(tmp_path, text)) as script, pytest.raises(CellFailed) as ended:
        script.draw(0)
    assert ended.value.outcome == outcome and words in ended.value.reason


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (("UnsupportedOpsError", "SdError", "Exception"), "unsupported"),
        (("CaptureError", "SdError", "Exception"), "unsupported"),
        (("NotFiniteError", "RunError", "SdError"), "wrong"),
        (("RunError", "SdError"), "crashed"),
        (("OutOfMemoryError", "RuntimeError"), "out-of-memory"),
        (("ValueError",), "crashed"),
    ],
)
def test_failures_by_their_class(tmp_path: Path, kinds: tuple[str, ...], outcome: str) -> None:
    measured = Measured(failure=Failure(kinds, "unet failed\n  why: it did"))
    ended = failures.died(measured, 1, tmp_path / "log.txt")
    assert ended.outcome == outcome
    own = "SdError" in kinds
    assert ended.reason == ("" if own else f"{kinds[0]}: ") + "unet failed; why: it did"


def test_a_signal_after_a_failure_is_the_signal(tmp_path: Path) -> None:
    (tmp_path / "log.txt").touch()
    measured = Measured(failure=Failure(("ValueError",), "x"))
    assert "SIGSEGV" in failures.died(measured, -signal.SIGSEGV, tmp_path / "log.txt").reason
