"""Dynamo as the front end of every engine: one model's calls, traced, guarded and compiled.

`TracedModel` runs a model's calls through `torch.compile` with a backend of ours. Dynamo decides
by its guards which program serves a call, replays the Python side effects of the call, and where it
cannot trace on, it breaks the call into several graphs. What it cannot trace at all runs as eager
torch; the reason is in the call's `CallRecord`.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, Protocol

import torch
import torch._dynamo
import torch._dynamo.config
from torch._dynamo.convert_frame import compile_lock
from torch._dynamo.mutation_guard import install_generation_tagging_init
from torch._dynamo.types import (  # type: ignore[attr-defined]
    ConvertFrameReturn,
    FrameAction,
    FrameExecStrategy,
)
from torch._dynamo.utils import counters

from sdbackends import forking, say, undoing
from sdbackends.capture import absent, cached_functions, quiet_trace
from sdbackends.capture.class_guard import ClassGuard


class GraphProgram(Protocol):
    """What answers one of Dynamo's graphs."""

    def __call__(self, *args: Any) -> Any:
        """Takes the live arguments, gives the graph's results."""

    def close(self) -> None:
        """Give back what it holds; it is not called any more."""


#: Dynamo's graph and its example inputs in, a program out.
GraphBackend = Callable[[torch.fx.GraphModule, Sequence[Any]], GraphProgram]
#: Programs of one function after which Dynamo would stop; `TracedModel` begins anew before.
PROGRAMS = 32
#: States of a model's classes (a method replaced, and put back) whose programs are kept.
_VARIANTS = 3
#: Seconds for which a thread waits for another one's first call with the same shapes. What is
#: traced twice costs time and nothing else.
_FIRST_CALL = 600.0
#: Shapes of calls that are remembered as begun before; forgotten, they take turns once more.
_SHAPES = 256
#: Seconds for which a fork waits for a trace in another thread.
_FORK = 60.0
_SETTINGS: dict[str, Any] = {
    "recompile_limit": PROGRAMS,
    "accumulated_recompile_limit": 64 * PROGRAMS,
    "fail_on_recompile_limit_hit": False,
    # Both are unsafe shortcuts: a hook laid later, or `f.__defaults__` replaced, would go unseen.
    "skip_nnmodule_hook_guards": False,
    "assume_dunder_attributes_remain_unchanged": False,
    # Parameters that become one and the same tensor later.
    "skip_no_tensor_aliasing_guards_on_parameters": False,
    "run_gc_after_compile": False,
    "automatic_dynamic_shapes": False,
}


@dataclass
class CallRecord:
    """What became of one call.

    Attributes:
        traced: graphs that Dynamo traced in it.
        ran: programs of the engine that ran in it.
        cold: Dynamo had something to trace, or tried to.
        breaks: what it could not trace, in its words.
        reasons: why parts of it ran on eager torch.
        since: when the work on the next graph began (`time.perf_counter`).
        may_trace: whether Dynamo may trace at all; else what has no program runs on eager torch.
    """

    traced: int = 0
    ran: int = 0
    cold: bool = False
    breaks: list[str] = field(default_factory=list)
    reasons: list[BaseException] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)
    may_trace: bool = True


_here = threading.local()


def record() -> CallRecord | None:
    """The record of the call that this thread is in."""
    return getattr(_here, "record", None)


def traces_elsewhere() -> bool:
    """Whether Dynamo traces in another thread: `torch.compiler.is_compiling()` is then True here.

    So are `torch.nn.Module`'s methods those of the trace for as long as it lasts.
    """
    if not compile_lock.acquire(blocking=False):
        return True
    compile_lock.release()
    return False


class TracedModel:
    """The programs of one model, found by Dynamo's guards and by a guard of its classes.

    Args:
        backend: makes a program of each graph.
        dynamic: one program for all sizes of the tensors.
        symbolic_floats: the backend takes numbers as arguments, one program for all of them.
        strict: an error ends the call. Without it the part that failed runs on eager torch.
    """

    def __init__(
        self,
        backend: GraphBackend,
        *,
        dynamic: bool,
        strict: bool,
        symbolic_floats: bool = False,
    ) -> None:
        self._backend = backend
        self._dynamic = dynamic
        settings = {
            **_SETTINGS,
            "suppress_errors": not strict,
            "specialize_float": not symbolic_floats,
        }
        # Not every release of torch has them all.
        known = torch._dynamo.config
        self._settings = {name: v for name, v in settings.items() if hasattr(known, name)}
        self._variants: list[_Variant] = []
        self._lock = forking.reentrant_lock()

    def __call__(
        self,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        inner: bool,
        may_trace: bool = True,
    ) -> tuple[Any, CallRecord]:
        """Call `module(*args, **kwargs)`; `inner`: its `_old_forward`, which accelerate put aside.

        Any thread may call. Threads that come with shapes which the model has not seen yet take
        turns, so that one of them traces and the others find the program.

        Args:
            may_trace: False: what has no program yet runs on eager torch.

        Raises:
            Exception: what the model's own code raises, and under `strict` what the tracing or the
                backend raise.
        """
        variant = self._enter(module)
        call = CallRecord(may_trace=may_trace)
        before = getattr(_here, "record", None)
        try:
            with variant.turn(_shapes(args, kwargs)):
                _here.record = call
                with _collector:
                    function = variant.inner if inner else variant.outer
                    result = function(module, args, kwargs)
        except BaseException:
            # Dynamo gives a function up for good in which an error was raised.
            self._drop(variant)
            raise
        finally:
            _here.record = before
            if call.cold:
                variant.learn()
            self._leave(variant)
        variant.programs += call.traced
        return result, call

    def close(self) -> None:
        """Close every program that has a `close` of its own."""
        variants = list(self._variants)
        self._variants.clear()
        undoing.run_all([("a model's programs", variant.close) for variant in variants])

    def _enter(self, module: torch.nn.Module) -> _Variant:
        with self._lock:
            variant = self._holding()
            if variant is None:
                # While another thread traces, the classes are not what they are.
                with compile_lock:
                    variant = self._holding() or self._new(module)
            variant.calls += 1
            return variant

    def _leave(self, variant: _Variant) -> None:
        with self._lock:
            variant.calls -= 1
            last = variant.dropped and not variant.calls
        if last:
            variant.close()

    def _drop(self, variant: _Variant) -> None:
        """Begin no call in it any more. It is closed when no other thread is in one."""
        with self._lock:
            if variant in self._variants:
                self._variants.remove(variant)
            variant.dropped = True
            unused = not variant.calls
        if unused:
            variant.close()

    def _holding(self) -> _Variant | None:
        for at, variant in enumerate(self._variants):
            if variant.guard.holds():
                if variant.programs < PROGRAMS - 1:
                    if at:
                        self._variants.insert(0, self._variants.pop(at))
                    return variant
                self._drop(variant)
                return None
        return None

    def _new(self, module: torch.nn.Module) -> _Variant:
        new = _Variant(ClassGuard(module), self._backend, self._dynamic, self._settings)
        self._variants.insert(0, new)
        for old in self._variants[_VARIANTS:]:
            self._drop(old)
        return new


def _shapes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.Size, ...]:
    return tuple(x.shape for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor))


class _Variant:
    """Compiled functions that hold while the classes of the model are as `guard` saw them."""

    def __init__(
        self, guard: ClassGuard, backend: GraphBackend, dynamic: bool, settings: dict[str, Any]
    ) -> None:
        self.guard = guard
        self.programs = 0
        #: Calls that threads are in, and whether no more are to begin.
        self.calls = 0
        self.dropped = False
        self._first_call = forking.reentrant_lock()
        self._begun: set[tuple[torch.Size, ...]] = set()
        self._made: list[Any] = []
        self._classes: set[type] = set()
        self._codes: set[CodeType] = set()

        def traced(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
            context = torch._guards.TracingContext.try_get()
            if context is not None:
                self._codes.update(context.traced_code or ())
            call = record()
            if call is not None:
                call.traced += 1
            made = backend(graph, inputs)
            self._made.append(made)
            return made

        def compiled(function: Any) -> Callable[..., Any]:
            # Dynamo keeps what it compiled on the code object: a copy of its own for each model
            # means that models neither share its recompilation limit nor outlive each other.
            fresh = FunctionType(function.__code__.replace(), globals())
            context: Any = torch._dynamo.optimize(
                backend=traced, dynamic=dynamic, guard_export_fn=self._note
            )
            context.callback = _WithSettings(context.callback, settings)
            made: Callable[..., Any] = context(fresh)
            return made

        self.outer, self.inner = compiled(_outer), compiled(_inner)

    @contextmanager
    def turn(self, shapes: tuple[torch.Size, ...]) -> Iterator[None]:
        """A call with these shapes; while one is the first of its kind, others wait."""
        if shapes in self._begun:
            yield
            return
        # A model may wait in its own call for a thread that calls it too: not for ever.
        waited = self._first_call.acquire(timeout=_FIRST_CALL)
        try:
            yield
        finally:
            if waited:
                self._first_call.release()
        if len(self._begun) >= _SHAPES:
            self._begun.clear()
        self._begun.add(shapes)

    def learn(self) -> None:
        """Depend on the classes and functions that the tracing just now went through."""
        with compile_lock:  # a trace in another thread adds some
            self.guard.add(self._classes, self._codes)
            self._classes, self._codes = set(), set()

    def close(self) -> None:
        made = list(self._made)
        self._made.clear()
        undoing.run_all([("a program", each.close) for each in made])

    def _note(self, guards: Any) -> None:
        for guard in guards:
            for reference in (guard.guarded_class_weakref, guard.obj_weakref):
                held = reference() if callable(reference) else None
                if isinstance(held, type):
                    self._classes.add(held)


class _WithSettings:
    """Dynamo's own callback, which runs where a frame has to be traced, under our settings.

    Patched around every call instead, they would cost each of them.
    """

    def __init__(self, callback: Callable[..., Any], settings: dict[str, Any]) -> None:
        #: By this name Dynamo looks for the backend, by which it tells programs apart.
        self._torchdynamo_orig_backend = callback
        self._settings = settings

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = record() or CallRecord()
        if not call.may_trace:
            return _not_now()
        # Dynamo takes this lock itself, but patches its settings and counts outside of it.
        with compile_lock, torch._dynamo.config.patch(self._settings), _changed():
            before = counters["graph_break"].copy()
            try:
                return self._torchdynamo_orig_backend(*args, **kwargs)
            finally:
                call.cold = True
                call.breaks += (counters["graph_break"] - before).keys()


@contextmanager
def _changed() -> Iterator[None]:
    """Dynamo with our changes to it; `compile_lock` is held, so that no other thread sees them."""
    before: list[tuple[Any, str, Any]] = []
    try:
        if not _here.__dict__.get("changed"):
            _here.changed = True
            for of in (absent, cached_functions, quiet_trace):
                for owner, name, value in list(of.changes()):
                    before.append((owner, name, vars(owner)[name]))
                    setattr(owner, name, value)
        yield
    finally:
        if before:
            _here.changed = False
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _not_now() -> ConvertFrameReturn:
    """Dynamo's answer for a frame that runs on eager torch this time, with all that it calls.

    `torch.compiler.set_stance` does it too, but for every thread.
    """
    strategy = FrameExecStrategy(FrameAction.RUN_ONLY, FrameAction.RUN_ONLY)
    return ConvertFrameReturn(frame_exec_strategy=strategy, apply_to_code=False)


def _outer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if module._compiled_call_impl is not None:  # the script's own, which is left to the engine
        return module._call_impl(*args, **kwargs)
    return torch.nn.Module.__call__(module, *args, **kwargs)


def _inner(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return module._old_forward(*args, **kwargs)


class _Collector:
    """Python's collector rests while any thread is in a call.

    A trace makes millions of objects, and a third of its time would be the collector's walks. JAX
    also hangs a callback on it in which Ctrl-C is lost.
    """

    def __init__(self) -> None:
        self._lock = forking.reentrant_lock()
        self._calls = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._calls == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._calls += 1
        _here.calls = getattr(_here, "calls", 0) + 1

    def __exit__(self, *error: object) -> None:
        _here.calls -= 1
        with self._lock:
            self._calls -= 1
            if self._calls == 0 and self._was_on:
                gc.enable()

    def after_fork(self) -> None:
        """In a forked child the calls of other threads have no end."""
        left = getattr(_here, "calls", 0)
        if self._calls and not left and self._was_on:
            gc.enable()
        self._calls = left


class _Fork:
    """Forks wait for a trace in another thread, whose half-done changes the child would keep."""

    def __init__(self) -> None:
        #: This process was forked in the midst of one all the same.
        self.amid = False

    def before(self) -> None:
        _here.waited = compile_lock.acquire(timeout=_FORK)

    def in_parent(self) -> None:
        if _here.waited:
            compile_lock.release()

    def in_child(self) -> None:
        if _here.waited:
            compile_lock.release()
        else:
            compile_lock._at_fork_reinit()  # type: ignore[attr-defined]
            self.amid = True
        _collector.after_fork()


def forked_amid_trace() -> bool:
    """Whether this process was forked while Dynamo traced in another thread: it must not trace."""
    return _fork.amid


class _Reasons(logging.Filter):
    """Takes what Dynamo logs when it gives a frame up to eager torch into the call's record."""

    def filter(self, line: logging.LogRecord) -> bool:
        call = record()
        error = line.exc_info[1] if isinstance(line.exc_info, tuple) else None
        if call is not None and error is not None:
            call.reasons.append(error)
        return True


class _OnScreen(logging.Filter):
    """Keeps what torch's tracing says to its developers off the screen in calls of ours."""

    def filter(self, line: logging.LogRecord) -> bool:
        return record() is None or not line.name.startswith(_TRACING) or say.is_debug()


_TRACING = ("torch._dynamo", "torch._subclasses", "torch._functorch", "torch.fx")
# Dynamo patches `torch.nn.Module` at its first trace. It is done before, so that it does not count
# as a change of the model's classes.
install_generation_tagging_init()
_collector = _Collector()
_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child
    )
logging.getLogger("torch._dynamo.convert_frame").addFilter(_Reasons())
for _name in list(logging.root.manager.loggerDict):
    if _name.startswith(_TRACING):
        for _handler in logging.getLogger(_name).handlers:
            _handler.addFilter(_OnScreen())
