"""A command that is told to end takes along what it has started, and leaves no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.matrix import script_process
from sdbackends.matrix.script_process import Limits, ScriptProcess
from sdbackends.utils import child_processes, termination
from tests.worker.helpers import alive, eventually

#: What a command runs: it has a child of its own, and does not end.
HANGS = """
import os, subprocess, sys, time
from pathlib import Path

if sys.argv[1:] == ["made"]:
    Path("made", "half").mkdir(parents=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path("part").write_text(f"{os.getpid()} {child.pid}")
os.replace("part", "pids")
time.sleep(600)
"""
#: The command, with that in the place of a script, or of what makes an environment.
COMMAND = """
import signal, sys
from pathlib import Path

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a background job too
from sdbackends import paths
from sdbackends.catalog import environments, pythons
from sdbackends.matrix import cell_command
from sdbackends.cli import main

cell_command.pipeline_script = lambda name: Path("hangs.py")
pythons.virtual = lambda base: [sys.executable, "hangs.py"]
if "env" in sys.argv:
    paths.backends_dir = lambda: Path("backends")
    environments.folder = lambda name: Path("made")
main()
"""
ENVIRONMENT = f"""\
summary: a test
python: "=={sys.version_info.major}.{sys.version_info.minor}.*"
requirements: [tinything==1.0]
modules: {{tinything: ">=1"}}
size: 1 MB
"""
DEMO = "demo --backends torch -o x.png"
CREATE = f"env create tiny --python {sys.executable}"
OPS = "ops -b jax hangs.py"


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (DEMO, signal.SIGTERM),
        (DEMO, signal.SIGHUP),
        (DEMO, signal.SIGINT),
        (CREATE, signal.SIGTERM),
        (CREATE, signal.SIGHUP),
        (CREATE, signal.SIGINT),
        (OPS, signal.SIGTERM),
    ],
)
def test_a_command_that_is_told_to_end(tmp_path: Path, words: str, number: signal.Signals) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "backends" / "environments").mkdir(parents=True)
    (tmp_path / "backends" / "environments" / "tiny.yaml").write_text(ENVIRONMENT)
    # Not a pipe: what outlives the command holds its other end.
    with (tmp_path / "said").open("w") as stderr:
        command = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words.split()],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
        )
    pids: list[int] = []
    try:
        assert eventually((tmp_path / "pids").exists, 60), (tmp_path / "said").read_text()
        pids += map(int, (tmp_path / "pids").read_text().split())
        command.send_signal(number)
        code = command.wait(60)
        assert code in ({130, 1} if number is signal.SIGINT else {-number})
        assert "Traceback" not in (tmp_path / "said").read_text()
        # What a user's own script has started is that script's.
        for pid in pids[:1] if words == OPS else pids:
            assert eventually(lambda pid=pid: not alive(pid))  # type: ignore[misc]
        assert list((tmp_path / "temporary").iterdir()) == []
        assert not (tmp_path / "made").exists() and not (tmp_path / "x.png").exists()
    finally:
        command.kill()
        command.wait()
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals by which this process would have ended."""
    numbers: list[int] = []
    kill = os.kill

    def kept(pid: int, number: int) -> None:
        numbers.append(number) if pid == os.getpid() else kill(pid, number)

    monkeypatch.setattr(termination.os, "kill", kept)
    return numbers


def test_a_signal_waits_until_a_child_is_known(
    monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    made: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def slow(*words: object, **options: object) -> subprocess.Popen[str]:
        made.append(popen(*words, **options))  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGTERM)
        return made[0]

    monkeypatch.setattr(child_processes.subprocess, "Popen", slow)
    with termination.in_order():
        child_processes.run([sys.executable, "-c", "import time; time.sleep(600)"])
    assert made[0].returncode == -signal.SIGKILL and ended == [signal.SIGTERM]


def test_a_signal_waits_until_the_reaper_knows_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    made: list[subprocess.Popen[bytes]] = []
    known: list[int] = []
    popen = subprocess.Popen

    def slow(*words: object, **options: object) -> subprocess.Popen[bytes]:
        made.append(popen(*words, **options))  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGTERM)
        return made[0]

    monkeypatch.setattr(script_process.subprocess, "Popen", slow)
    monkeypatch.setattr(script_process.reaper, "keep_process", known.append)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    try:
        with termination.in_order():
            ScriptProcess(command, os.environ, tmp_path, Limits(60, 10**10), in_turn=False)
    finally:
        made[0].kill()
        made[0].wait()
    assert known == [made[0].pid] and ended == [signal.SIGTERM]


def test_a_second_signal_does_not_disturb_the_tidying(ended: list[int]) -> None:
    done = []
    with termination.in_order():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            done.append("tidied")
    assert done and ended == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_who_ignores_a_signal_goes_on(ended: list[int]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with termination.in_order():
            signal.raise_signal(signal.SIGHUP)
        assert ended == [] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
