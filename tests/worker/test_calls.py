"""Programs in a worker that lives: results, errors, memory that both sides see."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from sdbackends.errors import BuildError, RunError
from sdbackends.worker.client import Placed, Worker
from tests.worker.conftest import Trouble
from tests.worker.helpers import call, eventually, graph, spec, weight


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 3), "float32"),
        ((), "int64"),
        ((2, 4, 64, 64), "float16"),
        ((5,), "complex64"),
        ((0,), "float64"),
    ],
)
def test_a_round_trip(worker: Worker, shape: tuple[int, ...], dtype: str) -> None:
    _, placed = weight(worker, np.full(shape, 3, dtype))
    constant = np.full(shape, 1, dtype)
    program = worker.build(graph(shape, dtype, weights=1, constants=1), [placed], [constant])
    value = (np.arange(np.prod(shape)) % 50).astype(dtype).reshape(shape)
    result = call(program, value)
    assert result.shape == shape and result.dtype == dtype
    np.testing.assert_array_equal(result, value * 3 + 1)
    assert program.report["nodes"] == 1


def test_programs_keep_apart(worker: Worker) -> None:
    programs = []
    for number in range(5):
        _, placed = weight(worker, np.full((number + 1,), number, "float32"))
        programs.append(worker.build(graph((number + 1,), weights=1), [placed], []))
    for _ in range(2):
        for number, program in enumerate(programs):
            assert call(program, 10).tolist() == [10 * number] * (number + 1)
    assert {program.report["pid"] for program in programs} == {worker.describe()["pid"]}


def test_weights_in_one_segment(worker: Worker) -> None:
    segment = worker.segment(1024)
    np.frombuffer(segment.buffer, "float32")[:] = np.arange(256)
    placed = Placed(segment, 256, (4,), "float32")
    program = worker.build(graph((4,), weights=1), [placed], [])
    assert call(program, 2).tolist() == [128, 130, 132, 134]


def test_an_edited_weight_is_seen_without_a_message(worker: Worker) -> None:
    array, placed = weight(worker, np.ones(3, "float32"))
    program = worker.build(graph((3,), weights=1), [placed], [])
    assert call(program, 5).tolist() == [5, 5, 5]
    array[1] = 7
    assert call(program, 5).tolist() == [5, 35, 5]


def test_an_engine_may_write_into_a_weight(worker: Worker) -> None:
    array, placed = weight(worker, np.ones(3, "float32"))
    writer = Worker(spec(engine="writer:create"))
    # The same memory under another worker: a segment belongs to this process, not to a worker.
    program = writer.build(graph((3,), weights=1), [placed], [])
    program.run()
    assert array.tolist() == [2, 2, 2]
    writer.close()


def test_an_exception_ends_the_call_and_not_the_worker(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    pid = worker.describe()["pid"]
    for _ in range(5):
        trouble("run exception")
        with pytest.raises(RunError, match="ValueError: it does not like this") as caught:
            program.run()
        assert caught.value.where.endswith("exception") and caught.value.fix
    assert call(program, 4).tolist() == [[4] * 3] * 2
    assert worker.describe()["pid"] == pid


def test_a_build_that_the_engine_refuses(worker: Worker, trouble: Trouble) -> None:
    trouble("build exception")
    with pytest.raises(BuildError, match="fake worker could not build"):
        worker.build(graph(), [], [])
    assert call(worker.build(graph(), [], []), 4).tolist() == [[4] * 3] * 2


def test_our_own_errors_come_through_as_they_are(worker: Worker, trouble: Trouble) -> None:
    trouble("build own_error")
    with pytest.raises(BuildError) as caught:
        worker.build(graph(), [], [])
    parts = caught.value.what, caught.value.where, caught.value.why, caught.value.fix
    assert parts == ("no such kernel", "conv2d", "it is Tuesday", "wait a day")


def test_an_engine_that_calls_exit_is_only_an_error(worker: Worker, trouble: Trouble) -> None:
    program = worker.build(graph(), [], [])
    trouble("run leave")
    with pytest.raises(RunError, match="SystemExit: it is done"):
        program.run()
    assert program.report["pid"] == worker.describe()["pid"]


@pytest.mark.parametrize("kind", ["noise", "flood"])
def test_what_is_printed_disturbs_nobody(
    worker: Worker, trouble: Trouble, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    program = worker.build(graph(), [], [])
    trouble(f"run {kind} always")
    for _ in range(3):
        assert call(program, 4).tolist() == [[4] * 3] * 2
    assert capfd.readouterr() == ("", "")
    assert program.report["pid"] == worker.describe()["pid"]


def test_a_dtype_that_cannot_be_shared(worker: Worker) -> None:
    with pytest.raises(BuildError, match="bfloat16"):
        worker.build(graph((2,), "bfloat16"), [], [])


def test_a_graph_that_is_too_long_ends_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = worker.describe()["pid"]
    monkeypatch.setattr("sdbackends.worker.protocol.MAX_FRAME", 300)
    with pytest.raises(BuildError, match="limit is 300"):
        worker.build(graph(), [], [])
    monkeypatch.undo()
    assert call(worker.build(graph(), [], []), 4).tolist() == [[4] * 3] * 2
    assert worker.describe()["pid"] == pid


def test_a_closed_program_says_so(worker: Worker) -> None:
    program = worker.build(graph(), [], [])
    program.close()
    program.close()
    with pytest.raises(RunError, match="closed"):
        program.run()


def test_trouble_while_closing_is_nobodys_trouble(worker: Worker, trouble: Trouble) -> None:
    first, second = (worker.build(graph(), [], []) for _ in range(2))
    trouble("close exception")
    first.close()
    assert call(second, 4).tolist() == [[4] * 3] * 2
    assert second.report["pid"] == worker.describe()["pid"]


def test_closed_workers_start_again(worker: Worker) -> None:
    program = worker.build(graph(), [], [])
    pid = worker.describe()["pid"]
    worker.close()
    worker.close()
    assert worker.memory().rss == 0
    assert call(program, 4).tolist() == [[4] * 3] * 2
    assert program.report["pid"] != pid


def test_its_memory_is_told(worker: Worker) -> None:
    assert worker.memory().rss == 0  # nothing was started
    worker.describe()
    memory = worker.memory()
    assert 1 << 20 < memory.rss <= memory.peak_rss < 1 << 32
    os.kill(worker.describe()["pid"], signal.SIGKILL)
    assert eventually(lambda: worker.memory().rss == 0)


def test_many_threads_one_call_at_a_time(worker: Worker) -> None:
    results: dict[int, list[float]] = {}

    def use(number: int) -> None:
        program = worker.build(graph((1,)), [], [])
        results[number] = [float(call(program, number + i)[0]) for i in range(20)]

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [n + i for i in range(20)] for n in range(8)}


def test_nothing_is_left_open(worker: Worker) -> None:
    def descriptors() -> tuple[int, int]:
        pid = worker.describe()["pid"]
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd"))

    def use(calls: int) -> None:
        array, placed = weight(worker, np.ones(3, "float32"))
        program = worker.build(graph((3,), weights=1), [placed], [np.ones(3, "float32")])
        for _ in range(calls):
            call(program, 1)
        program.close()
        placed.segment.close()
        del array

    worker.describe()
    before = descriptors()
    for _ in range(20):
        use(10)
    # The worker is told to forget, but not waited for.
    assert eventually(lambda: descriptors() == before)
    maps = Path(f"/proc/{worker.describe()['pid']}/maps")
    assert eventually(lambda: "memfd:sdbackends " not in maps.read_text())


def test_a_forgotten_program_is_forgotten_there_too(worker: Worker) -> None:
    def use() -> None:
        worker.build(graph((3,)), [], []).close()

    use()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        worker.build(graph((3,)), [], [])  # dropped, never closed
    assert len(os.listdir("/proc/self/fd")) == before
