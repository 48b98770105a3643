"""The reaper: a small process that tidies up after a run that was killed before it could.

The run tells it which processes it has started and which temporary folders it has made. The run's
end, of whatever kind, closes the pipe between them; then the reaper ends what is left of those
processes, with all their workers, and removes the folders. It is in a session of its own, so that
neither Ctrl-C nor the terminal's end reaches it. A run that ends well leaves it nothing to do.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from sdbackends import paths
from sdbackends.matrix.process_tree import ProcessTree

#: Seconds for the reaper to see that there is nothing to do.
_PATIENCE = 10


def keep_process(pid: int) -> None:
    """See to it that process `pid`, just started, does not outlive this one, nor its workers."""
    _tell("process", pid)


def keep_folder(path: Path) -> None:
    """See to it that the folder `path` does not outlive this process."""
    _tell("folder", str(path.absolute()))


def _tell(kind: str, what: int | str) -> None:
    reaper = _reaper(os.getpid())
    assert reaper.stdin is not None
    # A reaper that somebody killed is no reason to end a run.
    with contextlib.suppress(BrokenPipeError):
        reaper.stdin.write(json.dumps({kind: what}).encode() + b"\n")
        reaper.stdin.flush()


@functools.cache
def _reaper(_of: int) -> subprocess.Popen[bytes]:
    """The one of this process: a fork must not tell its parent's."""
    reaper = subprocess.Popen(
        [sys.executable, "-m", __name__],
        # Where `-m` finds this very package, be it installed or not.
        cwd=paths.package_dir().resolve().parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=os.name == "posix",
    )
    atexit.register(_let_go, reaper)
    return reaper


def _let_go(reaper: subprocess.Popen[bytes]) -> None:
    assert reaper.stdin is not None
    with contextlib.suppress(OSError):
        reaper.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        reaper.wait(_PATIENCE)


def tidy_up_after(lines: Iterable[bytes]) -> None:
    """What the reaper does: listen until the run is gone, then tidy up."""
    processes: list[psutil.Process] = []
    folders: list[str] = []
    for line in lines:
        # A run that is killed while it writes leaves half a line.
        with contextlib.suppress(ValueError, psutil.NoSuchProcess):
            told = json.loads(line)
            if "process" in told:
                # Known by its time of birth too: the number may be another's later.
                processes.append(psutil.Process(told["process"]))
            else:
                folders.append(told["folder"])
    for process in processes:
        _end(process)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: psutil.Process) -> None:
    """The process with its tree, and the workers whose parent in that tree is gone already."""
    if process.is_running():
        ProcessTree(process.pid).kill()
    if not hasattr(os, "getsid"):
        return
    for other in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(other.pid) == process.pid and other.create_time() >= process.create_time():
                other.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tidy_up_after(sys.stdin.buffer)
