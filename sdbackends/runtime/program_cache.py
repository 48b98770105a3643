"""One routed model: its calls through Dynamo's front end, and what runs where the engine cannot.

A graph that an engine cannot take, build or run is answered by eager torch, which runs the very
graph that Dynamo traced: nothing of the call runs twice. The reason is in the call's record; the
router says it, or raises it.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._dynamo.exc import BackendCompilerFailed
from torch.utils import _pytree as pytree

from sdbackends import log
from sdbackends.capture.call_record import CallRecord, record
from sdbackends.capture.front_end import TracedModel, TracedProgram
from sdbackends.capture.replaced import as_imported, call_originals
from sdbackends.errors import (
    BuildError,
    CaptureError,
    PositionError,
    RunError,
    SdError,
)
from sdbackends.runtime.build import Builder, patience
from sdbackends.runtime.finite_check import FiniteCheck
from sdbackends.runtime.graph_call import GraphCall
from sdbackends.runtime.verify import compare, finite, tensors_of
from sdbackends.utils import fork_safety
from sdbackends.utils.error_text import in_words

_numbers = itertools.count(1)
#: Traces for the same shapes without a call that a program served: something is new at every call.
_RESTLESS = 8


class RoutedModel:
    """The programs of one model under one engine.

    Args:
        verify: compare each program's first run with eager torch and print the figures.
        strict: an error of the engine ends the call; else that part of it runs on eager torch.
    """

    def __init__(self, builder: Builder, *, verify: bool = False, strict: bool = False) -> None:
        self.builder = builder
        self.verify = verify
        self._strict = strict
        engine = builder.engine
        self._traced = TracedModel(
            self._program,
            dynamic=engine.any_shape,
            strict=strict,
            symbolic_floats=engine.symbolic_floats,
        )
        self.number = next(_numbers)
        self._lock = fork_safety.reentrant_lock()
        self._prepared = False
        #: The last call had its programs, and nothing was traced for it.
        self.served = False
        self._new_in_a_row: Counter[Any] = Counter()
        self._restless = False
        #: Results of earlier calls that the script still holds, by their `id`.
        self._given: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()
        #: Why Dynamo gave the whole call up, in its words.
        self._given_up: str | None = None

    def __call__(
        self,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        inner: bool = False,
    ) -> tuple[Any, CallRecord]:
        """Run one call. The record's reasons say which parts of it did not run on the engine.

        `inner`: call the model's `_old_forward`, where accelerate has put its own forward aside.

        Raises:
            SdError: under `strict`, what kept the engine from running it all.
            Exception: what the model's own code raises.
        """
        self._prepare(module)
        if self.served or self._restless:
            result, call = self._call(module, args, kwargs, inner)
        else:
            label, backend = self.builder.label, self.builder.backend
            with patience(f"{label}: building for {backend} (once for this size) …"):
                result, call = self._call(module, args, kwargs, inner)
        self._judge(call, args, kwargs, result)
        return result, call

    def close(self) -> None:
        """Give back the programs' own memory; the model's calls must not come here any more."""
        self._traced.close()

    @property
    def name(self) -> str:
        return f"{self.builder.label} on {self.builder.backend}"

    def _call(self, module: Any, args: Any, kwargs: Any, inner: bool) -> tuple[Any, CallRecord]:
        try:
            return self._traced(module, args, kwargs, inner=inner, may_trace=not self._restless)
        except BackendCompilerFailed as failed:
            error = failed.inner_exception
            if isinstance(error, SdError):
                raise error from None
            raise

    def _prepare(self, module: torch.nn.Module) -> None:
        if self._prepared:
            return
        engine = self.builder.engine
        with self._lock:
            if not self._prepared:
                try:
                    engine.prepare(module)
                except Exception as error:
                    raise BuildError(
                        f"{self.builder.label} could not be prepared for {self.builder.backend}",
                        why=in_words(error),
                    ) from error
            self._prepared = True

    def _judge(self, call: CallRecord, args: Any, kwargs: Any, result: Any) -> None:
        """Count calls that needed a new trace, and say why a call had no program."""
        self.served = call.traced == 0 and call.ran > 0
        if call.traced:
            leaves = pytree.tree_leaves((args, kwargs))
            shapes = tuple(leaf.shape for leaf in leaves if isinstance(leaf, torch.Tensor))
            self._new_in_a_row[shapes] += 1
            self._restless |= self._new_in_a_row[shapes] >= _RESTLESS
        elif call.ran:
            self._new_in_a_row.clear()
        given = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        # A call that computes nothing, but gives what an earlier one gave (DeepCache and its like),
        # has no program either, and that is no failure.
        known = bool(given) and all(self._given.get(id(tensor)) is tensor for tensor in given)
        self._given.update((id(tensor), tensor) for tensor in given)
        if call.ran or call.reasons or known:
            return
        if call.cold:
            self._given_up = call.breaks[0].partition("\n")[0] if call.breaks else None
        why = self._given_up
        if self._restless:
            why = f"its arguments or its state were new at each of {_RESTLESS} calls"
        if why is not None:
            label = self.builder.label
            call.reasons.append(CaptureError(f"{label} stays on eager torch", why=why))

    def _program(self, graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> TracedProgram:
        """What answers one of Dynamo's graphs."""
        call = record() or CallRecord()
        # Raised where not even the graph is the script's call: Dynamo then runs the call itself.
        call_originals(graph)
        try:
            with as_imported():
                program = self.builder.build(graph, inputs, call)
        except SdError as error:
            if self._strict:
                raise
            call.reasons.append(error)
            return _Eager(graph, error)
        return _Answer(self, graph, program)


class _Eager:
    """A graph that the engine could not take: eager torch, and the reason at each call."""

    def __init__(self, graph: torch.fx.GraphModule, reason: SdError) -> None:
        self._graph = graph
        self._reason = reason

    def __call__(self, *args: Any) -> Any:
        call = record()
        if call is not None and self._reason not in call.reasons:
            call.reasons.append(self._reason)
        return self._graph(*args)

    def close(self) -> None: ...


class _Answer:
    """A built program, with eager torch for the calls in which it fails."""

    def __init__(
        self, model: RoutedModel, graph: torch.fx.GraphModule, program: Callable[..., Any]
    ) -> None:
        self._name, self._strict, self._verify = model.name, model._strict, model.verify
        self._listener, self._label = model.builder.listener, model.builder.label
        self._number = model.number
        self._graph = graph
        self._program = program
        self._finite = FiniteCheck(model.name, graph)

    def __call__(self, *args: Any) -> Any:
        call = record() or CallRecord()
        try:
            result = self._run(args)
        except SdError as error:
            # A call that is wrong in itself raises the script's own error, also under `strict`.
            if self._strict and not isinstance(error, PositionError):
                raise
            call.reasons.append(error)
            return self._graph(*args)
        call.ran += 1
        return result

    def close(self) -> None:
        self._finite.close()
        close = getattr(self._program, "close", None)
        if callable(close):
            close()

    def _run(self, args: tuple[Any, ...]) -> Any:
        self._finite.before()
        # Before the program, which may change its arguments.
        reference = self._graph(*map(_copy, args)) if self._verify else None
        try:
            result = self._program(*args)
        except SdError:
            raise
        except Exception as error:
            raise RunError(f"{self._name} failed", why=in_words(error)) from error
        self._finite.after(args, result, lambda: self._is_at_fault(args, reference))
        if reference is not None:
            self._verify = False
            gap = compare(tensors_of(reference), tensors_of(result))
            log.note(f"{self._name}, against eager torch: {gap}")
            self._listener.compared(self._label, self._number, reference, result)
        return result

    def _is_at_fault(self, args: tuple[Any, ...], reference: Any) -> bool:
        """Whether eager torch has no NaN or Inf there. One that has run cannot be asked again."""
        if reference is None:
            if isinstance(self._program, GraphCall) and self._program.changes_arguments:
                return False
            reference = self._graph(*args)
        return finite(reference)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
