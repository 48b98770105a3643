"""One routed model: its programs by signature, and what to do when a call brings a new one.

A call comes in with the model's own forward. Its signature and the model's structure say which
program serves it; if none does, one is captured and built. A program whose weights have changed
since takes them anew. Whatever goes wrong is raised as an `SdError` with its reason, and
remembered, so that a call that failed once is not built again and again; the router falls back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from sdbackends import say
from sdbackends.artifacts import CaptureStore
from sdbackends.capture.export import Capture, capture, weights_of
from sdbackends.capture.signature import (
    CallSignature,
    ModuleState,
    UnsupportedArgument,
    call_signature,
    module_state,
)
from sdbackends.engines.base import GraphEngine, MissingOp, ModuleCall, ModuleEngine, Program
from sdbackends.errors import BuildError, CaptureError, RunError, SdError, UnsupportedOpsError
from sdbackends.verify import compare, finite, tensors_of

#: Programs kept for one model; sizes, batches and adapters that take turns stay built.
KEPT = 16
#: New builds in a row for the same shapes without one reuse: something changes at every call.
_RESTLESS = 8
#: Seconds after which a build that is still going on says so.
_PATIENCE = 4.0

Call = Callable[..., Any]


class _Runnable(Protocol):
    def run(self, call: Call, signature: CallSignature, args: Any, kwargs: Any) -> Any: ...
    def rebind(self, module: torch.nn.Module) -> bool: ...
    def close(self) -> None: ...


@dataclass
class _GraphProgram:
    """A program built from our capture."""

    capture: Capture
    program: Program

    def run(self, call: Call, signature: CallSignature, args: Any, kwargs: Any) -> Any:
        return self.capture.result(list(self.program(signature.tensors)))

    def rebind(self, module: torch.nn.Module) -> bool:
        self.program.rebind(weights_of(module, self.capture.graph))
        return True

    def close(self) -> None:
        self.program.close()


@dataclass
class _ModuleProgram:
    """A program that the engine made from the module itself."""

    program: ModuleCall
    frozen: bool

    def run(self, call: Call, signature: CallSignature, args: Any, kwargs: Any) -> Any:
        return self.program(call, args, kwargs)

    def rebind(self, module: torch.nn.Module) -> bool:
        return not self.frozen

    def close(self) -> None:
        pass


@dataclass
class _Entry:
    runnable: _Runnable
    weights: tuple[Any, ...]
    verified: bool = False


@dataclass
class RoutedModel:
    """The programs of one model under one engine.

    Args:
        label: how messages name the model: "unet (UNet2DConditionModel)".
        backend: the backend's name, for messages.
        verify: compare each program's first call with eager and print the figures.
    """

    label: str
    backend: str
    engine: GraphEngine | ModuleEngine
    store: CaptureStore | None
    verify: bool = False
    _entries: OrderedDict[Any, _Entry | SdError] = field(default_factory=OrderedDict)
    _builds_in_a_row: dict[Any, int] = field(default_factory=dict)
    _prepared: bool = False

    def __call__(
        self, module: torch.nn.Module, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run one call on the engine.

        Raises:
            SdError: the engine could not take, build or run it; nothing was changed.
        """
        if not self._prepared:
            self._prepared = True
            if isinstance(self.engine, ModuleEngine):
                self.engine.prepare(module)
        state = module_state(module)
        if state.obstacle is not None:
            raise CaptureError(f"{self.label} stays on eager torch", why=state.obstacle)
        try:
            signature = call_signature(args, kwargs)
        except UnsupportedArgument as error:
            raise CaptureError(
                f"{self.label} stays on eager torch", why=f"it is called with {error}"
            ) from error
        entry = self._entry(module, call, args, kwargs, state, signature)
        result = self._run(entry.runnable, call, signature, args, kwargs)
        return self._checked(entry, result, call, args, kwargs)

    def close(self) -> None:
        for entry in self._entries.values():
            if isinstance(entry, _Entry):
                entry.runnable.close()
        self._entries.clear()

    def _entry(
        self,
        module: torch.nn.Module,
        call: Call,
        args: Any,
        kwargs: Any,
        state: ModuleState,
        signature: CallSignature,
    ) -> _Entry:
        key = (self._shape_key(signature), state.structure)
        entry = self._entries.get(key)
        if isinstance(entry, SdError):
            raise entry
        if entry is not None and entry.weights != state.weights:
            if entry.runnable.rebind(module):
                entry.weights = module_state(module).weights
            else:
                entry = None
        if entry is not None:
            self._builds_in_a_row.pop(signature.shapes, None)
            self._entries.move_to_end(key)
            return entry
        self._refuse_restless(signature.shapes)
        try:
            runnable = self._build(module, call, args, kwargs, state, signature)
        except SdError as error:
            self._entries[key] = error
            raise
        # Building may lay weights out anew, so their identity is read afterwards.
        entry = self._entries[key] = _Entry(runnable, module_state(module).weights)
        while len(self._entries) > KEPT:
            _, old = self._entries.popitem(last=False)
            if isinstance(old, _Entry):
                old.runnable.close()
        return entry

    def _shape_key(self, signature: CallSignature) -> Any:
        if isinstance(self.engine, ModuleEngine) and self.engine.any_shape:
            return signature.shapeless
        return signature.key

    def _refuse_restless(self, shapes: Any) -> None:
        # New shapes are no sign of it: the tiles of one picture come in many.
        builds = self._builds_in_a_row[shapes] = self._builds_in_a_row.get(shapes, 0) + 1
        if builds > _RESTLESS:
            raise BuildError(
                f"{self.label} stays on eager torch",
                why=f"its arguments or its state were new at each of {_RESTLESS} calls",
            )

    def _build(
        self,
        module: torch.nn.Module,
        call: Call,
        args: Any,
        kwargs: Any,
        state: ModuleState,
        signature: CallSignature,
    ) -> _Runnable:
        start = time.perf_counter()
        with _patience(f"{self.label}: building for {self.backend} (once for this size) …"):
            if isinstance(self.engine, ModuleEngine):
                runnable, how = self._build_module(self.engine, call, args, kwargs)
            else:
                runnable, how = self._build_graph(
                    self.engine, module, call, args, kwargs, state, signature
                )
        seconds = time.perf_counter() - start
        say.note(f"{self.label}: {self.backend}, ready in {seconds:.1f} s ({how})")
        return runnable

    def _build_graph(
        self,
        engine: GraphEngine,
        module: torch.nn.Module,
        call: Call,
        args: Any,
        kwargs: Any,
        state: ModuleState,
        signature: CallSignature,
    ) -> tuple[_Runnable, str]:
        key = self.store.key(signature, state) if self.store else None
        captured = self.store.load(key) if self.store and key else None
        known = captured is not None
        if captured is None:
            captured = capture(module, args, kwargs, call=call)
            if self.store and key:
                self.store.save(key, captured)
        missing = engine.unsupported(captured.graph)
        if missing:
            raise _unsupported(self.label, self.backend, missing)
        try:
            program = engine.build(
                captured.graph, weights_of(module, captured.graph), captured.constants
            )
        except SdError:
            raise
        except Exception as error:
            raise _build_error(self.label, self.backend, error) from error
        how = (
            f"capture {'from cache' if known else 'new'}, "
            f"program {'from cache' if program.from_cache else 'new'}"
        )
        return _GraphProgram(captured, program), how

    def _build_module(
        self,
        engine: ModuleEngine,
        call: Call,
        args: Any,
        kwargs: Any,
    ) -> tuple[_Runnable, str]:
        before = engine.compiled_from_cache()
        try:
            built = engine.build_module(call)
            built(call, args, kwargs)  # such an engine compiles at its first call
        except SdError:
            raise
        except Exception as error:
            raise _build_error(self.label, self.backend, error) from error
        cached = engine.compiled_from_cache() > before
        return _ModuleProgram(built, engine.frozen), f"program {'from cache' if cached else 'new'}"

    def _run(
        self, runnable: _Runnable, call: Call, signature: CallSignature, args: Any, kwargs: Any
    ) -> Any:
        try:
            return runnable.run(call, signature, args, kwargs)
        except SdError:
            raise
        except Exception as error:
            raise RunError(
                f"{self.label} failed on {self.backend}",
                why=f"{type(error).__name__}: {_first_line(error)}",
            ) from error

    def _checked(self, entry: _Entry, result: Any, call: Call, args: Any, kwargs: Any) -> Any:
        """NaN and Inf are the engine's fault only where eager has none."""
        good = finite(result)
        if good and (entry.verified or not self.verify):
            return result
        reference = call(*args, **kwargs)
        if not good and finite(reference):
            raise RunError(
                f"{self.label} failed on {self.backend}",
                why="it returned NaN or Inf where eager torch does not",
            )
        if self.verify and not entry.verified:
            entry.verified = True
            gap = compare(tensors_of(reference), tensors_of(result))
            say.note(f"{self.label}: {self.backend} against eager torch: {gap}")
        return result


def _unsupported(label: str, backend: str, missing: tuple[MissingOp, ...]) -> UnsupportedOpsError:
    lines = []
    for op in missing:
        sites = ", ".join(f"{path or 'the model'} {shapes}" for path, shapes in op.sites[:4])
        more = f" and {len(op.sites) - 4} more" if len(op.sites) > 4 else ""
        lines.append(f"{op.op} at {sites}{more}")
    return UnsupportedOpsError(
        f"{label} stays on eager torch",
        why=f"{backend} has no lowering for {len(missing)} op(s): " + "; ".join(lines),
        mend="a lowering is one function in sdbackends/engines/<engine>/lowering/",
    )


def _build_error(label: str, backend: str, error: Exception) -> BuildError:
    return BuildError(
        f"{label} could not be built for {backend}",
        why=f"{type(error).__name__}: {_first_line(error)}",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"


@contextmanager
def _patience(text: str) -> Iterator[None]:
    """Say `text` if the block takes long, so that nobody thinks that it hangs."""
    timer = threading.Timer(_PATIENCE, say.note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
