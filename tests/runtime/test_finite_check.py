"""When results are looked at for NaN on a GPU: a queue of answers stands in for the device."""

from __future__ import annotations

import pytest
import torch

from sdbackends.errors import NotFiniteError
from sdbackends.runtime import finite_check
from sdbackends.runtime.finite_check import FiniteCheck

GOOD, NAN = torch.ones(3), torch.tensor([1.0, float("nan"), 1.0])


class Queue:
    """Answers that are there when the device has come by, and not before."""

    def __init__(self) -> None:
        self.come_by = False
        self.asked: list[bool] = []
        self.waits = 0

    def __call__(self, value: torch.Tensor) -> Queue._Answer:
        self.asked.append(bool(value))
        return Queue._Answer(self, bool(value))

    class _Answer:
        def __init__(self, queue: Queue, value: bool) -> None:
            self._queue, self._value = queue, value

        def is_there(self) -> bool:
            return self._queue.come_by

        def is_bad(self) -> bool:
            self._queue.waits += not self._queue.come_by
            return self._value


@pytest.fixture
def queue(monkeypatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(finite_check, "Answer", queue)
    monkeypatch.setattr(finite_check, "on_a_gpu", lambda result: True)
    return queue


@pytest.fixture
def check() -> FiniteCheck:
    """Of a graph whose first argument is a weight, and its second one an input."""
    graph = torch.fx.Graph()
    weight, x = graph.placeholder("weight"), graph.placeholder("x")
    weight.meta["tensor_dict"] = {"_dynamo_static_input_type": "unguarded"}
    graph.output(graph.call_function(torch.add, (weight, x)))
    return FiniteCheck("unet on jax", torch.fx.GraphModule({}, graph))


def call(check: FiniteCheck, result: torch.Tensor, given: torch.Tensor = GOOD) -> None:
    check.before()
    check.after((NAN, given), (result,), lambda: True)


def test_two_results_are_looked_at_at_once_and_the_next_ones_without_waiting(queue, check):
    for _ in range(6):
        call(check, GOOD)
    assert queue.asked == [False] * 4 and queue.waits == 0


@pytest.mark.parametrize("before", [0, 1])
def test_nan_in_one_of_the_first_two_is_raised_before_it_is_handed_on(queue, check, before):
    for _ in range(before):
        call(check, GOOD)
    with pytest.raises(NotFiniteError, match="where eager torch does not"):
        call(check, NAN)
    assert queue.asked == []


def test_later_nan_is_raised_at_the_call_after_and_then_looked_at_at_once(queue, check):
    for result in (GOOD, GOOD, NAN, GOOD):
        call(check, result)  # the device has not come by yet
    queue.come_by = True
    with pytest.raises(NotFiniteError, match="earlier call"):
        check.before()
    with pytest.raises(NotFiniteError, match="where eager torch does not"):
        call(check, NAN)
    assert len(queue.asked) == 2


def test_nan_that_came_in_is_nobodys_fault(queue, check):
    for result, given in ((GOOD, GOOD), (GOOD, GOOD), (NAN, NAN)):
        call(check, result, given)
    queue.come_by = True
    check.before()
    assert queue.asked == [False]


def test_a_model_that_gives_nan_by_itself_is_looked_at_at_once(queue, check):
    for _ in range(5):
        check.before()
        check.after((NAN, GOOD), (NAN,), lambda: False)
    assert queue.asked == []


def test_the_host_is_no_more_than_some_calls_ahead(queue, check):
    for _ in range(40):
        call(check, GOOD)
    assert queue.waits > 0 and len(check._under_way) <= finite_check._UNDER_WAY + 1


def test_the_last_call_of_a_program_is_said_when_it_is_closed(queue, check, capsys):
    for result in (GOOD, GOOD, NAN):
        call(check, result)
    check.close()
    assert "failed at an earlier call" in capsys.readouterr().err
    check.close()
    assert capsys.readouterr().err == ""


def test_on_a_cpu_every_result_is_looked_at_at_once(check):
    for _ in range(5):
        call(check, GOOD)
    with pytest.raises(NotFiniteError):
        call(check, NAN)
