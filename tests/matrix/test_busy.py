"""Whether a machine counts as busy: on made-up readings, and beside a real process that works."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from sdbackends.matrix.load_monitor import LoadMonitor, Spent, spent


def share(own: float, cores: tuple[float, ...], usable: tuple[int, ...]) -> float:
    """What others took in ten seconds in which the cores worked so long, `own` of it for us."""
    readings = iter([Spent(5.0, (1.0,) * len(cores), 2.0)])
    others = LoadMonitor(lambda: next(readings), usable)
    readings = iter([Spent(15.0, tuple(1.0 + core for core in cores), 2.0 + own)])
    return others.share()


@pytest.mark.parametrize(
    ("own", "cores", "usable", "expected"),
    [
        (20.0, (5.0, 5.0, 5.0, 5.0), (0, 1, 2, 3), 0.0),  # all of it was ours
        (18.4, (5.0, 5.0, 5.0, 5.0), (0, 1, 2, 3), 0.04),
        (10.0, (5.0, 5.0, 5.0, 5.0), (0, 1, 2, 3), 0.25),
        (5.0, (5.0, 10.0, 0.0, 0.0), (0,), 0.25),  # beside us, on cores that are not for us
        (2.5, (5.0, 0.0, 0.0, 0.0), (0,), 0.25),  # on ours: little of the machine, much of it
        (9.0, (5.0, 3.0), (0, 1), 0.0),  # two clocks that disagree
    ],
)
def test_the_share_of_others(
    own: float, cores: tuple[float, ...], usable: tuple[int, ...], expected: float
) -> None:
    assert share(own, cores, usable) == pytest.approx(expected)


@pytest.mark.parametrize(("taken", "busy"), [(0.4, False), (3.0, True)])
def test_from_one_twentieth_on_it_is_busy(taken: float, busy: bool) -> None:
    now = [Spent(0.0, (0.0,) * 4, 0.0), Spent(10.0, (taken, 0.0, 0.0, 0.0), 0.0)]
    others = LoadMonitor(lambda: now.pop(0), (0, 1, 2, 3))
    assert others.busy() is busy


@pytest.mark.skipif(not hasattr(os, "nice"), reason="no such command")
def test_a_polite_process_of_somebody_else_is_seen() -> None:
    # Its parent is gone at once, so that it is not of our tree; and it is nice, as long jobs are.
    work = "import os\nos.nice(10)\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\n"
    busy = f"{work}while True: pass"
    began = spent()
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        try:
            others = LoadMonitor()
            time.sleep(2)
            assert others.share() > 0
            took = spent()
        finally:
            os.kill(worker, 9)
    assert sum(took.cores) - sum(began.cores) > 0.2
    assert took.own - began.own < 1


def test_work_of_our_own_children_is_not_that_of_others() -> None:
    before = spent()
    subprocess.run([sys.executable, "-c", "sum(range(30_000_000))"], check=True)
    after = spent()
    assert after.own - before.own > 0.1
