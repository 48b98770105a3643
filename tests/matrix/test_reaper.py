"""A run that is killed leaves nothing behind: neither processes nor their workers nor folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from sdbackends.matrix import reaper

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent")

#: A run with one script, which has a worker in a session of its own and one whose parent is gone.
RUN = """
import os, sys, time
from contextlib import closing
from pathlib import Path
from sdbackends.matrix import reaper
from sdbackends.matrix.script_process import Limits, ScriptProcess
here = Path(sys.argv[1])
(here / "temporary").mkdir()
reaper.keep_folder(here / "temporary")
script = '''
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
worker = subprocess.Popen(sleep, start_new_session=True)
orphan = subprocess.run(["sh", "-c", '"$0" -c "import time; time.sleep(600)" >&2 & echo $!',
                         sys.executable], stdout=subprocess.PIPE).stdout
open(sys.argv[1] + "/pids", "w").write(f"[{os.getpid()}, {worker.pid}, {int(orphan)}]")
time.sleep(600)
'''
command = [sys.executable, "-c", script, sys.argv[1]]
limits = Limits(600, 10**10)
with closing(ScriptProcess(command, dict(os.environ), here / "temporary", limits, in_turn=False)):
    while not (here / "pids").exists():
        time.sleep(0.05)
    print(reaper._reaper(os.getpid()).pid, flush=True)
    END
"""


def begin(folder: Path, end: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A run that has begun, and all processes that it has brought about."""
    text = textwrap.dedent(RUN).replace("END", end)
    run = subprocess.Popen([sys.executable, "-c", text, str(folder)], stdout=subprocess.PIPE)
    assert run.stdout is not None
    keeping = int(run.stdout.readline())
    pids = [*json.loads((folder / "pids").read_text()), keeping]
    return run, [psutil.Process(pid) for pid in pids]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    run, all_of_it = begin(tmp_path, "time.sleep(600)")
    with run:
        assert all(process.is_running() for process in all_of_it)
        run.send_signal(how)
    _, left = psutil.wait_procs(all_of_it, timeout=20)
    assert not left
    assert not (tmp_path / "temporary").exists()


def test_a_run_that_ends_well_is_not_held_up(tmp_path: Path) -> None:
    run, all_of_it = begin(tmp_path, "ended = time.monotonic()")
    with run:
        pass
    assert run.returncode == 0
    psutil.wait_procs(all_of_it[:1], timeout=5)
    assert not all_of_it[0].is_running() and not all_of_it[-1].is_running()


def test_processes_that_are_not_told_of_live_on(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        told = [{"process": gone.pid}, {"folder": str(tmp_path / "none")}]
        reaper.tidy_up_after([json.dumps(one).encode() for one in told] + [b'{"proc'])
        time.sleep(0.1)
        assert other.poll() is None
        other.kill()
