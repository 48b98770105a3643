"""A worker ends with its parent, however that one ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.worker.helpers import alive, eventually, parent

#: A parent with a worker that has a program; says its worker's pid.
SET_UP = """
    import os, signal, sys, threading
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
    trouble = Path("trouble")
    worker = Worker(spec(trouble))
    program = worker.build(graph((1,)), [], [])
    held = worker.segment(1 << 20)
    print(worker.describe()["pid"], flush=True)
"""
#: … and is in the middle of a call that will not end, in C code with the interpreter's lock.
IN_A_CALL = """
    trouble.write_text("run hang_in_c")
    threading.Timer(0.5, lambda: print("in the call", flush=True)).start()
"""


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    # Not communicate(): it forgets what readline() has read ahead.
    assert process.stdin and process.stdout and process.stderr
    process.stdin.close()
    out, error = process.stdout.read(), process.stderr.read()
    return process.wait(), out, error


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    before = set(os.listdir("/dev/shm"))
    yield
    # Other processes of this machine have names there for a moment (semaphores, Ray's store).
    assert eventually(lambda: set(os.listdir("/dev/shm")) <= before)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_parent_is_killed_while_idle(tmp_path: Path, number: signal.Signals) -> None:
    process = parent(SET_UP + "    sys.stdin.read()\n", tmp_path)
    pid = int(said(process))
    assert alive(pid)
    process.send_signal(number)
    assert finished(process)[0] == -number
    assert eventually(lambda: not alive(pid))


def test_the_parent_is_killed_during_a_call_in_c(tmp_path: Path) -> None:
    process = parent(SET_UP + IN_A_CALL + "    program.run()\n", tmp_path)
    pid = int(said(process))
    assert said(process) == "in the call"
    assert alive(pid)
    process.kill()
    finished(process)
    assert eventually(lambda: not alive(pid))


def test_the_parent_is_killed_and_its_forked_child_lives_on(tmp_path: Path) -> None:
    code = """
    child = os.fork()
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    print(child, flush=True)
    """
    process = parent(SET_UP + code + IN_A_CALL + "    program.run()\n", tmp_path)
    pid, child = int(said(process)), int(said(process))
    assert said(process) == "in the call"
    process.kill()
    process.wait()
    assert eventually(lambda: not alive(pid))
    assert alive(child)
    finished(process)  # closes the child's stdin
    assert eventually(lambda: not alive(child))


def test_the_parent_is_killed_while_the_worker_starts(tmp_path: Path) -> None:
    code = """
    import os, sys
    Path("trouble").write_text("create hang_in_c")
    worker = Worker(spec(Path("trouble"), start_timeout=100))
    threading = __import__("threading")
    threading.Thread(target=worker.describe, daemon=True).start()
    eventually(lambda: worker._life.process is not None)
    print(worker._life.process.pid, flush=True)
    eventually(lambda: not Path("trouble").exists())
    print("starting", flush=True)
    sys.stdin.read()
    """
    process = parent(code, tmp_path)
    pid = int(said(process))
    assert said(process) == "starting"
    process.kill()
    finished(process)
    assert eventually(lambda: not alive(pid))


@pytest.mark.parametrize("end", ["", "    sys.exit(3)\n", "    raise ValueError\n"])
def test_the_parent_ends_by_itself(tmp_path: Path, end: str) -> None:
    process = parent(SET_UP + end, tmp_path)
    pid = int(said(process))
    finished(process)
    assert not alive(pid)  # at once: it was waited for


def test_the_parent_ends_while_a_thread_is_in_a_call(tmp_path: Path) -> None:
    code = """
    thread = threading.Thread(target=program.run, daemon=True)
    thread.start()
    eventually(lambda: not trouble.exists())
    """
    process = parent(SET_UP + "    trouble.write_text('run hang_in_c')\n" + code, tmp_path)
    pid = int(said(process))
    assert finished(process)[0] == 0
    assert not alive(pid)


def test_a_worker_that_nobody_holds_ends(tmp_path: Path) -> None:
    code = """
    pid = worker.describe()["pid"]
    del worker, program, held
    print(alive(pid), Path(f"/proc/{pid}").exists())
    """
    process = parent(SET_UP + code, tmp_path)
    said(process)
    assert finished(process)[1].split() == ["False", "False"]  # no zombie either


def test_ctrl_c_ends_the_call_and_the_next_one_works(tmp_path: Path) -> None:
    code = """
    from sdbackends.worker.crash_policy import MAX_DEATHS
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    for turn in range(MAX_DEATHS + 1):
        trouble.write_text("run hang_in_c")
        threading.Timer(0.3, os.killpg, (os.getpgid(0), signal.SIGINT)).start()
        try:
            program.run()
        except KeyboardInterrupt:
            print("interrupted", call(program, turn)[0], flush=True)
    """
    process = parent(SET_UP + code, tmp_path)
    pid = int(said(process))
    code_, out, error = finished(process)
    assert (code_, error) == (0, "")
    assert out.splitlines() == [f"interrupted {float(turn)}" for turn in range(4)]
    assert not alive(pid)


def test_ctrl_c_that_the_script_takes_lightly_does_not_reach_the_worker(tmp_path: Path) -> None:
    code = """
    signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
    trouble.write_text("run slow")
    threading.Timer(0.2, os.killpg, (os.getpgid(0), signal.SIGINT)).start()
    print(call(program, 5)[0], worker.describe()["pid"])
    """
    process = parent(SET_UP + code, tmp_path)
    pid = said(process)
    code_, out, error = finished(process)
    assert (code_, error) == (0, "")
    assert out.splitlines() == ["heard", f"5.0 {pid}"]


def test_the_terminal_does_not_reach_the_worker(tmp_path: Path) -> None:
    process = parent(SET_UP + "    sys.stdin.read()\n", tmp_path)
    pid = int(said(process))
    assert os.getsid(pid) == pid != os.getsid(process.pid)
    finished(process)


def test_an_interrupt_for_the_worker_itself_is_ignored(tmp_path: Path) -> None:
    code = """
    trouble.write_text("run slow")
    threading.Timer(0.2, os.kill, (worker.describe()["pid"], signal.SIGINT)).start()
    print(call(program, 5)[0])
    """
    process = parent(SET_UP + code, tmp_path)
    said(process)
    assert finished(process) == (0, "5.0\n", "")


def test_a_forked_child_gets_a_worker_of_its_own(tmp_path: Path) -> None:
    code = """
    def use(name, value):
        for i in range(50):
            assert call(program, value + i)[0] == value + i
        print(name, worker.describe()["pid"], flush=True)

    # A thread in the middle of a call holds the lock at the moment of the fork.
    trouble.write_text("run slow")
    thread = threading.Thread(target=call, args=(program, 0))
    thread.start()
    eventually(lambda: not trouble.exists())
    child = os.fork()
    if child == 0:
        use("child", 1000)
        sys.exit(0)
    thread.join()
    use("parent", 1)
    print(os.waitpid(child, 0)[1], flush=True)
    use("parent", 1)
    """
    process = parent(SET_UP + code, tmp_path)
    pid = int(said(process))
    code_, out, error = finished(process)
    assert (code_, error) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line for line in lines if line[0] == "parent"] == [["parent", str(pid)]] * 2
    (child,) = (int(line[1]) for line in lines if line[0] == "child")
    assert child != pid and not alive(child) and not alive(pid)
    assert ["0"] in lines


def test_a_forked_child_that_kept_its_parents_views_is_told(tmp_path: Path) -> None:
    code = """
    inputs = program.inputs
    if os.fork() == 0:
        try:
            program.run()
        except Exception as error:
            print(type(error).__name__, "parent's memory" in str(error), flush=True)
        os._exit(0)
    os.wait()
    """
    process = parent(SET_UP + code, tmp_path)
    said(process)
    assert finished(process)[1].split() == ["RunError", "True"]


def test_a_child_of_multiprocessing_leaves_the_worker_alone(tmp_path: Path) -> None:
    code = """
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=print, args=("child",))
    child.start()
    child.join()
    print(call(program, 5)[0], worker.describe()["pid"])
    """
    process = parent(SET_UP + code, tmp_path)
    pid = said(process)
    assert finished(process)[1].splitlines() == ["child", f"5.0 {pid}"]
