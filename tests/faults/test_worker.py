"""A worker whose engine starts processes of its own, or answers without end."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdbackends.errors import RunError
from sdbackends.worker.client import RemoteProgram, Worker
from sdbackends.worker.protocol import Channel, SilenceError, encode
from tests.worker.helpers import ENGINES, alive, eventually, graph, parent, spec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a worker needs Linux")

#: Seconds that a whole answer may take here; what drips would need far longer than `LONG`.
DEADLINE, LONG = 2.0, 20.0
#: The fake engine, with more that can go wrong. A child says its number in the file `child`.
ENGINE = """
import os, signal, sys, time
from pathlib import Path

import fake
from fake import create

HERE = Path(__file__).parent


def child(own_group):
    if os.fork():
        while not (HERE / "child").exists():
            time.sleep(0.01)
        return
    if own_group:
        os.setpgid(0, 0)
    (HERE / "part").write_text(str(os.getpid()))
    os.replace(HERE / "part", HERE / "child")
    time.sleep(600)
    os._exit(0)


def drip():
    for _ in range(600):
        os.write(int(sys.argv[1]), b"\\0")
        time.sleep(0.1)


def drip_in_a_frame():
    os.write(int(sys.argv[1]), b"\\0\\0\\1\\0")
    drip()


fake.KINDS |= {
    "fork_and_go_on": lambda: child(False),
    "fork_and_die": lambda: (child(False), os.kill(os.getpid(), signal.SIGKILL)),
    "fork_a_group_and_die": lambda: (child(True), os._exit(3)),
    "fork_and_hang": lambda: (child(False), time.sleep(600)),
    "drip_in_a_frame": drip_in_a_frame,
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "forking.py").write_text(ENGINE)
    return tmp_path


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    where = {"engine": "forking:create", "path": (folder, ENGINES)}
    worker = Worker(spec(folder / "trouble", call_timeout=DEADLINE, **where))
    yield worker
    worker.close()
    for pid in filter(alive, started(folder)):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def program(worker: Worker) -> RemoteProgram:
    return worker.build(graph((1,)), [], [])


def started(folder: Path) -> list[int]:
    """What the engine has started."""
    return [int(path.read_text()) for path in folder.glob("child")]


@pytest.mark.parametrize("kind", ["fork_and_die", "fork_a_group_and_die", "fork_and_hang"])
def test_what_the_engine_has_started_ends_with_the_worker(
    program: RemoteProgram, folder: Path, kind: str
) -> None:
    (folder / "trouble").write_text(f"run {kind}")
    with pytest.raises(RunError):
        program.run()
    (child,) = started(folder)
    assert eventually(lambda: not alive(child), 5)


def test_it_ends_with_a_worker_that_is_closed(
    worker: Worker, program: RemoteProgram, folder: Path
) -> None:
    (folder / "trouble").write_text("run fork_and_go_on")
    program.run()
    (child,) = started(folder)
    assert alive(child)
    worker.close()
    assert eventually(lambda: not alive(child), 5)


def test_it_ends_with_a_worker_that_was_killed_between_two_calls(
    worker: Worker, program: RemoteProgram, folder: Path
) -> None:
    (folder / "trouble").write_text("run fork_and_go_on")
    program.run()
    (child,) = started(folder)
    pid = worker.describe()["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not alive(pid))
    program.run()  # in a new one
    assert eventually(lambda: not alive(child), 5)


def test_it_ends_with_the_script(folder: Path) -> None:
    code = """
    import signal, sys
    trouble = Path("trouble")
    where = {"engine": "forking:create", "path": (Path.cwd(), ENGINES)}
    worker = Worker(spec(trouble, **where))
    program = worker.build(graph((1,)), [], [])
    trouble.write_text("run fork_and_go_on")
    program.run()
    print(worker.describe()["pid"], flush=True)
    sys.stdin.read()
    """
    process = parent(code, folder)
    try:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()), *started(folder)]
        assert len(pids) == 2 and all(map(alive, pids))
        process.kill()
        for pid in pids:
            assert eventually(lambda pid=pid: not alive(pid), 5)  # type: ignore[misc]
    finally:
        process.kill()
        process.wait()
        for pid in filter(alive, started(folder)):
            os.kill(pid, signal.SIGKILL)


def test_an_answer_that_drips_in_ends_at_the_deadline(program: RemoteProgram, folder: Path) -> None:
    (folder / "trouble").write_text("run drip_in_a_frame")
    began = time.monotonic()
    with pytest.raises(RunError, match="stops in the middle"):
        program.run()
    assert time.monotonic() - began < LONG


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Our end with its deadline, and the bare socket of the other side."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    channel.patience(DEADLINE)
    yield channel, theirs
    channel.close()
    theirs.close()


def slowly(step: object) -> threading.Thread:
    """Repeats `step` ten times a second until it fails, or for three times `LONG`."""

    def repeat() -> None:
        for _ in range(int(30 * LONG)):
            try:
                step()  # type: ignore[operator]
            except OSError:
                return
            time.sleep(0.1)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    return thread


def test_a_deadline_is_for_a_whole_message(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    theirs.send(struct.pack("!i", 1000))
    slowly(lambda: theirs.send(b"\0"))
    began = time.monotonic()
    with pytest.raises(SilenceError):
        channel.receive()
    assert time.monotonic() - began < LONG


def test_who_reads_in_drips_is_not_waited_for(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    slowly(lambda: theirs.recv(1000))
    began = time.monotonic()
    with pytest.raises(SilenceError):
        channel.send(encode({"text": "x" * 10_000_000}))
    assert time.monotonic() - began < LONG


def test_what_ended_long_ago_is_not_asked_for_by_its_number(worker: Worker) -> None:
    worker.describe()
    process = worker._life.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    # A script that waits for all children takes the worker's end too.
    os.waitpid(process.pid, 0)
    assert not process.alive
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        process._popen.pid = bystander.pid  # the number, given away anew
        worker.close()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
