"""Dynamo as the front end of every engine: one model's calls, traced, guarded and compiled.

`TracedModel` runs a model's calls through `torch.compile` with a backend of ours. Dynamo decides
by its guards which program serves a call, replays the Python side effects of the call, and where it
cannot trace on, it breaks the call into several graphs. What it cannot trace at all runs as eager
torch; the reason is in the call's `CallRecord`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, Protocol

import torch
import torch._dynamo
from torch._dynamo.convert_frame import compile_lock
from torch._dynamo.mutation_guard import install_generation_tagging_init

from sdbackends.capture import dynamo_logs
from sdbackends.capture.call_record import CallRecord, record, recording
from sdbackends.capture.class_guard import ClassGuard
from sdbackends.capture.collector import collector
from sdbackends.capture.trace_settings import PROGRAMS, WithSettings, settings_for
from sdbackends.utils import fork_safety, undoing


class TracedProgram(Protocol):
    """What answers one of Dynamo's graphs."""

    def __call__(self, *args: Any) -> Any:
        """Takes the live arguments, gives the graph's results."""

    def close(self) -> None:
        """Give back what it holds; it is not called any more."""


#: Dynamo's graph and its example inputs in, a program out.
GraphBackend = Callable[[torch.fx.GraphModule, Sequence[Any]], TracedProgram]
#: States of a model's classes (a method replaced, and put back) whose programs are kept.
_VARIANTS = 3
#: Seconds for which a thread waits for another one's first call with the same shapes. What is
#: traced twice costs time and nothing else.
_FIRST_CALL = 600.0
#: Shapes of calls that are remembered as begun before; forgotten, they take turns once more.
_SHAPES = 256


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
        self._settings = settings_for(strict=strict, symbolic_floats=symbolic_floats)
        self._variants: list[_Variant] = []
        self._lock = fork_safety.reentrant_lock()

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
        call = CallRecord(owner=variant.owner, may_trace=may_trace, skipped=variant.skipped)
        try:
            with variant.turn(_shapes(args, kwargs)), recording(call), collector:
                function = variant.inner if inner else variant.outer
                result = function(module, args, kwargs)
        except BaseException:
            # Dynamo gives a function up for good in which an error was raised.
            self._drop(variant)
            raise
        finally:
            if call.cold:
                variant.learn()
            self._leave(variant)
        variant.traced += bool(call.traced)
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
                if variant.traced < PROGRAMS - 1:
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
        #: Not the variant itself: guards hold it, and Dynamo keeps them for as long as the code.
        self.owner = object()
        self.skipped: set[CodeType] = set()
        #: Calls in which something was traced.
        self.traced = 0
        #: Calls that threads are in, and whether no more are to begin.
        self.calls = 0
        self.dropped = False
        self._first_call = fork_safety.reentrant_lock()
        self._begun: set[tuple[torch.Size, ...]] = set()
        self._made: list[Any] = []
        self._classes: set[type] = set()
        self._codes: set[CodeType] = set()
        self._graphs: list[torch.fx.GraphModule] = []

        def traced(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
            context = torch._guards.TracingContext.try_get()
            if context is not None:
                self._codes.update(context.traced_code or ())
            call = record()
            if call is not None:
                call.traced += 1
            made = backend(graph, inputs)
            self._made.append(made)
            self._graphs.append(graph)
            return made

        def compiled(function: Any) -> Callable[..., Any]:
            # Dynamo keeps what it compiled on the code object: a copy of its own for each model
            # means that models neither share its recompilation limit nor outlive each other.
            fresh = FunctionType(function.__code__.replace(), globals())
            context: Any = torch._dynamo.optimize(
                backend=traced, dynamic=dynamic, guard_export_fn=self._note
            )
            context.callback = WithSettings(context.callback, settings, fresh.__code__)
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
        """Depend on the classes and functions that the tracing just now went through.

        What the graphs still know of weights is dropped: Dynamo is done with them.
        """
        with compile_lock:  # a trace in another thread adds some
            self.guard.add(self._classes, self._codes)
            self._classes, self._codes = set(), set()
            while self._graphs:
                _forget_tensors(self._graphs.pop())

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


def _forget_tensors(graph: torch.fx.GraphModule) -> None:
    """Drop the weak references to weights by which Dynamo knew them while it traced.

    They live as long as the graph, and `torch.utils.swap_tensors` refuses what has such a one.
    """
    for node in graph.graph.nodes:
        node.meta.pop("grapharg", None)
        mode = getattr(node.meta.get("example_value"), "fake_mode", None)
        if mode is not None:
            describer = mode.fake_tensor_converter.meta_converter.describer
            describer.lookup_tensor.clear()
            describer.lookup_storage.clear()


def _outer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if module._compiled_call_impl is not None:  # the script's own, which is left to the engine
        return module._call_impl(*args, **kwargs)
    return torch.nn.Module.__call__(module, *args, **kwargs)


def _inner(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return module._old_forward(*args, **kwargs)


# Dynamo patches `torch.nn.Module` at its first trace. It is done before, so that it does not count
# as a change of the model's classes.
install_generation_tagging_init()
dynamo_logs.filter_lines()
