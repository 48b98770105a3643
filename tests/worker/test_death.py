"""A worker that dies, hangs or talks nonsense ends the call; the next call goes on."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from sdbackends.errors import BackendNotReadyError, BuildError, RunError
from sdbackends.worker.client import Worker
from sdbackends.worker.crash_policy import MAX_DEATHS, CrashPolicy
from tests.worker.conftest import Trouble
from tests.worker.helpers import alive, call, eventually, graph, weight

DEATHS = [
    ("abort", r"SIGABRT.*\n.*check failed: the library gave up$"),
    ("segfault", "SIGSEGV"),
    ("kill", "SIGKILL"),
    ("quit", "exit code 3"),
]
GARBAGE = [
    ("text", "claims more than"),
    ("too_long", "claims more than"),
    ("no_json", "no JSON"),
    ("no_message", "no message"),
    ("other_version", "protocol 9"),
    ("other_answer", "another question"),
]
SILENCE = [
    ("hang", "no answer within 2 s"),
    ("hang_in_c", "no answer within 2 s"),
    ("half", "stops in the middle"),
]


def fixed(worker: Worker, program: object, dead: int) -> bool:
    """Whether the program runs again, in a new worker, and the old one is gone."""
    right = call(program, 5).tolist() == [10, 10, 10]  # type: ignore[arg-type]
    return right and worker.describe()["pid"] != dead and not alive(dead)


@pytest.mark.parametrize(("kind", "why"), DEATHS + GARBAGE)
def test_it_ends_a_run(worker: Worker, trouble: Trouble, kind: str, why: str) -> None:
    array, placed = weight(worker, np.full(3, 2, "float32"))
    constant = np.zeros(3, "float32")
    program = worker.build(graph((3,), weights=1, constants=1), [placed], [constant])
    pid = worker.describe()["pid"]
    trouble(f"run {kind}")
    with pytest.raises(RunError, match="fake worker failed") as caught:
        call(program, 5)
    import re

    assert re.search(why, caught.value.why) and caught.value.fix
    assert not alive(pid)
    assert fixed(worker, program, pid)
    array[...] = 3  # and the memory is shared with the new one too
    assert call(program, 5).tolist() == [15, 15, 15]


@pytest.mark.parametrize(("kind", "why"), SILENCE)
def test_silence_ends_a_run(hasty_worker: Worker, trouble: Trouble, kind: str, why: str) -> None:
    _, placed = weight(hasty_worker, np.full(3, 2, "float32"))
    program = hasty_worker.build(graph((3,), weights=1), [placed], [])
    pid = hasty_worker.describe()["pid"]
    trouble(f"run {kind}")
    with pytest.raises(RunError, match=why):
        call(program, 5)
    assert fixed(hasty_worker, program, pid)


@pytest.mark.parametrize("kind", ["abort", "segfault", "text"])
def test_it_ends_a_build_and_other_programs_go_on(
    worker: Worker, trouble: Trouble, kind: str
) -> None:
    _, placed = weight(worker, np.full(3, 2, "float32"))
    program = worker.build(graph((3,), weights=1), [placed], [])
    pid = worker.describe()["pid"]
    trouble(f"build {kind}")
    with pytest.raises(BuildError, match="could not build the program"):
        worker.build(graph((4,)), [], [])
    assert fixed(worker, program, pid)


def test_a_build_that_hangs(hasty_worker: Worker, trouble: Trouble) -> None:
    trouble("build hang_in_c")
    with pytest.raises(BuildError, match="no answer within 2 s"):
        hasty_worker.build(graph(), [], [])
    assert call(hasty_worker.build(graph((1,)), [], []), 4).tolist() == [4]


@pytest.mark.parametrize("kind", ["abort", "quit", "text"])
def test_it_ends_a_start(worker: Worker, trouble: Trouble, kind: str) -> None:
    trouble(f"create {kind}")
    with pytest.raises(BackendNotReadyError, match="cannot start") as caught:
        worker.describe()
    assert "sdbackends env create fake" in caught.value.fix
    assert worker.describe()["pid"]


def test_a_death_between_calls_is_no_calls_fault(worker: Worker) -> None:
    _, placed = weight(worker, np.full(3, 2, "float32"))
    program = worker.build(graph((3,), weights=1), [placed], [])
    for _ in range(5):
        pid = worker.describe()["pid"]
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda pid=pid: not alive(pid))  # type: ignore[misc]
        assert fixed(worker, program, pid)


def test_a_death_while_forgetting_is_no_calls_fault(worker: Worker, trouble: Trouble) -> None:
    first, second = (worker.build(graph(), [], []) for _ in range(2))
    pid = worker.describe()["pid"]
    trouble("close abort")
    first.close()
    assert eventually(lambda: not alive(pid))
    assert call(second, 4).tolist() == [[4] * 3] * 2


def test_killed_from_outside_during_a_call(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    trouble("run hang_in_c")
    killer = threading.Timer(0.3, os.kill, (worker.describe()["pid"], signal.SIGTERM))
    killer.start()
    with pytest.raises(RunError, match="SIGTERM"):
        program.run()
    assert call(program, 4).tolist() == [[4] * 3] * 2


def test_what_was_printed_long_ago_is_not_a_last_word(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    trouble("run noise")
    program.run()
    trouble("run segfault")
    with pytest.raises(RunError) as caught:
        program.run()
    assert "noise" not in str(caught.value)


def test_after_repeated_deaths_it_stays_down(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    other = worker.build(graph((1,)), [], [])
    trouble("run abort always")
    for _ in range(MAX_DEATHS):
        with pytest.raises(RunError):
            program.run()
    trouble("run nothing-more")
    for run in (program.run, other.run, worker.describe):
        with pytest.raises(BackendNotReadyError, match=f"stays down after {MAX_DEATHS}") as caught:
            run()
        assert "check failed: the library gave up" in caught.value.why


def test_a_worker_that_never_starts_stays_down(worker: Worker, trouble: Trouble) -> None:
    trouble("create abort always")
    for _ in range(MAX_DEATHS):
        with pytest.raises(BackendNotReadyError, match="cannot start"):
            worker.describe()
    with pytest.raises(BackendNotReadyError, match="stays down"):
        worker.describe()


def test_deaths_that_were_made_good_do_not_count(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    for _ in range(MAX_DEATHS + 1):
        trouble("run abort")
        with pytest.raises(RunError):
            program.run()
        program.run()


def test_only_the_culprit_makes_its_deaths_good() -> None:
    deaths = CrashPolicy()
    deaths.charge("unet", "one")
    deaths.charge("unet", "two")
    deaths.make_good("text encoder")
    assert not deaths.too_many
    deaths.charge("vae", "three")
    assert deaths.too_many and deaths.last_reason == "three"
    deaths.make_good("unet")
    assert deaths.count == 1
