"""Threads that call models at once: one trace at a time, and right results in every thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sdbackends import log
from sdbackends.capture.front_end import TracedModel
from sdbackends.engines.weight_copies import Copies, WeightCopy
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.settings import BackendChoice, Settings
from tests.replay import Behaviour, ReplayEngine
from tests.scripts.in_threads import at_once
from tests.scripts.models import X, applying, picture, small

#: What waits as long as this hangs.
LIMIT_S = 300


class Slow(ReplayEngine):
    """Waits in its first build until it is told to go on."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(behaviour)
        self.building, self.go_on = threading.Event(), threading.Event()

    def build(self, *given: Any) -> Any:
        if self.building.is_set() or not self.go_on.is_set():
            self.building.set()
            assert self.go_on.wait(LIMIT_S)
        return super().build(*given)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """A session on an engine whose builds do not wait unless a test clears `go_on`."""
    engine = Slow(Behaviour())
    engine.go_on.set()
    monkeypatch.setattr(engine_pool, "create", lambda name, context: engine)
    log.forget()
    patches = Patches()
    router.install(Settings(backend=BackendChoice.parse("jax"), cache_dir=None), patches)
    yield engine
    engine.go_on.set()
    patches.undo()


def test_first_calls_of_one_model_build_one_program(engine: Slow) -> None:
    model = small()
    results = at_once(4, lambda number: picture(model), LIMIT_S)
    assert (engine.behaviour.builds, engine.behaviour.calls) == (1, 4)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=0)


def test_a_call_while_another_thread_builds_goes_to_the_engine(engine: Slow) -> None:
    """torch's flag that something is compiled is one for all threads."""
    known, other = small(), applying(lambda h: h * 5)
    picture(known)
    engine.go_on.clear()
    engine.building.clear()
    thread = threading.Thread(target=picture, args=(other,))
    thread.start()
    assert engine.building.wait(LIMIT_S) and torch.compiler.is_compiling()
    picture(known)
    calls, builds = engine.behaviour.calls, engine.behaviour.builds
    engine.go_on.set()
    thread.join(LIMIT_S)
    assert (calls, builds) == (2, 1)
    assert engine.behaviour.builds == 2


def test_a_mode_of_another_thread_is_none_of_this_one(engine: Slow) -> None:
    """torch's flag that one is on is one for all threads; so is that of a model being traced."""
    model, on, off = small(), threading.Event(), threading.Event()
    picture(model)

    def counting() -> None:
        with TorchDispatchMode():
            on.set()
            assert off.wait(LIMIT_S)

    thread = threading.Thread(target=counting)
    thread.start()
    assert on.wait(LIMIT_S)
    picture(model)
    off.set()
    thread.join(LIMIT_S)
    assert engine.behaviour.calls == 2


def test_a_model_that_is_traced_no_more_changes_nothing_for_other_threads(engine: Slow) -> None:
    """`torch.compiler.set_stance` would: another model's first call was never traced."""
    waits, begun, go_on = [False], threading.Event(), threading.Event()

    def restless(h: torch.Tensor) -> torch.Tensor:
        model.count += 1
        if waits[0]:
            begun.set()
            assert go_on.wait(LIMIT_S)
        return h * model.count

    model, other = applying(restless), small()
    model.count = 0
    for _ in range(10):
        picture(model)
    builds = engine.behaviour.builds
    picture(model)
    assert engine.behaviour.builds == builds, "it is traced no more"
    waits[0] = True
    thread = threading.Thread(target=picture, args=(model,))
    thread.start()
    assert begun.wait(LIMIT_S)
    picture(other)
    go_on.set()
    thread.join(LIMIT_S)
    assert engine.behaviour.builds == builds + 1


class Failing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 2:
            raise ValueError("two are too many")
        return x + 1


class Waiting:
    """A program that waits in a call; closed, it cannot answer."""

    begun, go_on = threading.Event(), threading.Event()

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        self.graph, self.closed = graph, False

    def __call__(self, *args: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(LIMIT_S)
        assert not self.closed
        return self.graph(*args)

    def close(self) -> None:
        self.closed = True


def test_an_error_in_one_thread_closes_no_program_that_another_one_runs() -> None:
    made: list[Waiting] = []

    def backend(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Waiting:
        made.append(Waiting(graph))
        return made[-1]

    module, traced = Failing().eval(), TracedModel(backend, dynamic=False, strict=False)
    results: list[Any] = []

    def call() -> None:
        results.append(traced(module, (torch.ones(1),), {}, inner=False)[0])

    thread = threading.Thread(target=call)
    thread.start()
    assert Waiting.begun.wait(LIMIT_S)
    first = traced._variants[0]
    first._begun.update({(torch.Size([1]),), (torch.Size([2]),)})
    with pytest.raises(ValueError, match="two are too many"):
        traced(module, (torch.ones(2),), {}, inner=False)
    assert not made[0].closed
    Waiting.go_on.set()
    thread.join(LIMIT_S)
    assert results and results[0].tolist() == [2.0]
    assert made[0].closed, "the last one out closes it"


class Counted(WeightCopy):
    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor)
        self.copy = torch.empty_like(self.live)

    def write(self) -> None:
        self.copy.copy_(self.live)


def test_owners_are_added_while_another_thread_looks_for_edits() -> None:
    """Tied weights are bound in one thread while a program of another one looks at them."""
    weight = torch.ones(64)
    copy = Counted(weight)
    copies, stop, errors = Copies([copy]), threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            try:
                copies.renew()
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        copy.add_owner(weight.detach())
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


def test_threads_that_work_with_weights_of_their_own(engine: Slow) -> None:
    models = [small() for _ in range(3)]
    with torch.no_grad():
        for number, model in enumerate(models):
            model.conv_in.weight.mul_(1 + number)
    results = at_once(3, lambda n: [picture(models[n], X * (k + 1)) for k in range(3)], LIMIT_S)
    calls = engine.behaviour.calls
    assert (engine.behaviour.builds, calls) == (3, 9)
    with torch.no_grad():
        for model, result in zip(models, results, strict=True):
            expected = [torch.nn.Module.__call__(model, X * (k + 1)) for k in range(3)]
            torch.testing.assert_close(torch.stack(result), torch.stack(expected))
