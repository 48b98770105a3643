"""A process that has called a model is forked: the child's models work, and nothing hangs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._dynamo.convert_frame import compile_lock

from sdbackends import log
from sdbackends.capture import forked
from sdbackends.capture.collector import collector
from sdbackends.engines import left_behind
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.settings import BackendChoice, Settings
from sdbackends.utils import fork_safety
from tests.replay import Behaviour, ReplayEngine
from tests.scripts import RunScript
from tests.scripts.models import X, picture, small

#: A child that takes as long as this hangs.
LIMIT_S = 120
ROOT = Path(__file__).parents[2]


def in_child(work: Callable[[], bool]) -> int:
    """The exit code of a forked child: 0 where `work()` is True; a child that hangs is killed."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = 0 if work() else 1
        except BaseException:
            code = 2
        finally:
            os._exit(code)
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


class Dying(ReplayEngine):
    """Like JAX: it has threads that a child has not, and a call would wait for them for ever."""

    survives_fork = False

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(behaviour)
        self.process = os.getpid()

    def build(self, *given: Any) -> Any:
        assert self.process == os.getpid()
        return super().build(*given)


class Living(ReplayEngine):
    survives_fork = True


Start = Callable[[type[ReplayEngine]], Behaviour]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    patches, behaviour = Patches(), Behaviour()

    def begin(kind: type[ReplayEngine]) -> Behaviour:
        monkeypatch.setattr(engine_pool, "create", lambda name, context: kind(behaviour))
        # These engines are no JAX, which tests before these may have started in this process.
        monkeypatch.setattr(engine_pool, "is_left_behind", lambda engine: False)
        log.forget()
        router.install(Settings(backend=BackendChoice.parse("jax"), cache_dir=None), patches)
        return behaviour

    torch.set_num_threads(1)
    yield begin
    patches.undo()


def test_a_runtime_that_a_child_has_not_is_left_alone_with_one_line(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    behaviour, model = start(Dying), small()
    expected = picture(model)
    capfd.readouterr()

    def work() -> bool:
        results = [picture(model), picture(model)]
        picture(model, X.repeat(2, 1, 1, 1))
        picture(small())
        same = all(torch.allclose(result, expected, atol=1e-6) for result in results)
        return same and behaviour.calls == 1

    assert in_child(work) == 0
    said = capfd.readouterr().err
    assert said.count("was started before this process was forked") == 2, "once for each model"
    picture(model)
    assert behaviour.calls == 2, "the parent goes on"


def test_a_child_of_a_thread(start: Start) -> None:
    _, model = start(Dying), small()
    expected, codes = picture(model), []

    def work() -> None:
        codes.append(in_child(lambda: torch.allclose(picture(model), expected, atol=1e-6)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LIMIT_S * 2)
    assert codes == [0]


def test_a_child_that_is_forked_while_another_thread_traces_and_calls(start: Start) -> None:
    """The fork waits for the trace; locks that others hold are free in the child."""
    behaviour, model = start(Living), small()
    expected = picture(model)
    router_lock, held, go_on = fork_safety.reentrant_lock(), threading.Event(), threading.Event()

    def work() -> None:
        with compile_lock:
            held.set()
            time.sleep(0.5)
        with router_lock, collector:
            go_on.set()
            time.sleep(2)

    def child() -> bool:
        with router_lock:
            same = torch.allclose(picture(model), expected, atol=1e-6)
        other = torch.allclose(picture(small()), expected, atol=1e-6)
        return same and other and behaviour.builds == 2 and gc.isenabled()

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(LIMIT_S)
    assert in_child(child) == 0
    assert go_on.wait(LIMIT_S)
    assert in_child(child) == 0
    thread.join()


def test_a_fork_that_could_not_wait_for_a_trace(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, model = start(Living), small()
    expected = picture(model)
    monkeypatch.setattr(forked, "_FORK", 0.1)
    held, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with compile_lock:
            held.set()
            go_on.wait(LIMIT_S * 2)

    def child() -> bool:
        same = torch.allclose(picture(small()), expected, atol=1e-6)
        return same and behaviour.builds == 1

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(LIMIT_S)
    try:
        assert in_child(child) == 0
    finally:
        go_on.set()
        thread.join()


def _drawn(model: torch.nn.Module) -> torch.Tensor:
    return picture(model).clone()


@pytest.mark.parametrize("kind", [Dying, Living])
def test_workers_of_a_pool(start: Start, kind: type[ReplayEngine]) -> None:
    start(kind)
    model = small()
    expected = picture(model)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        for result in pool.map_async(_drawn, [model] * 3).get(LIMIT_S):
            torch.testing.assert_close(result, expected)


def test_jax_of_the_scripts_own_is_left_behind_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = SimpleNamespace(_backends={})
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)  # type: ignore[arg-type]
    monkeypatch.setattr(left_behind, "_left", set())
    assert in_child(lambda: not left_behind.is_left_behind("jax")) == 0
    bridge._backends["cpu"] = object()
    assert in_child(lambda: left_behind.is_left_behind("jax")) == 0
    assert not left_behind.is_left_behind("jax")


FORKS = """
    import multiprocessing, os, signal, sys, threading, time, warnings
    sys.path[:0] = [ROOT]
    warnings.simplefilter("ignore")
    import torch
    torch.set_num_threads(1)
    from tests.scripts.models import X, picture, small
    from tests.faults.test_forks import in_child

    model = small()
    first = picture(model)

    def right(x=X):
        return torch.allclose(picture(model, x)[:1], first, atol=1e-4)

    def drawn(number):
        return picture(model, X.repeat(number, 1, 1, 1))[:1].tolist()

    def in_thread():
        codes.append(in_child(right))

    codes = [in_child(right), in_child(lambda: right(X.repeat(2, 1, 1, 1)))]
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    codes.append(in_child(lambda: torch.allclose(picture(small()), first, atol=1e-4)))
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        drawn_there = pool.map_async(drawn, [1, 2]).get(120)
    codes += [int(not torch.allclose(torch.tensor(d), first, atol=1e-4)) for d in drawn_there]
    process = context.Process(target=lambda: sys.exit(0 if right() else 5))
    process.start()
    process.join(120)
    codes.append(process.exitcode)
    pid = os.fork()
    if not pid:
        sys.exit(0 if right() else 5)  # a whole ending of Python, runtimes' threads and all
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    codes.append(int(not right()))
    print(codes)
"""


@pytest.mark.parametrize(
    "backend",
    [
        "jax",
        pytest.param("compile", marks=pytest.mark.slow),  # `nox -s faults` alone, as the next
        pytest.param("oneflow", marks=pytest.mark.slow),
    ],
)
def test_a_script_that_forks_in_every_way(run_script: RunScript, backend: str) -> None:
    script = f"ROOT = {str(ROOT)!r}\n{textwrap.dedent(FORKS)}"
    done = run_script(script, backend=backend)
    assert done.ok().stdout.split("\n")[0] == str([0] * 9), done.stderr
    said = done.stderr.count("was started before this process was forked")
    assert (said > 0) == (backend == "jax")
