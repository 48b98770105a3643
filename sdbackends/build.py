"""One call of a model in, a runnable program out; the two kinds of engines made alike.

A graph engine gets our capture (from disk, if it is kept there) and the live weights; a module
engine gets the model's own forward and compiles at its first call. Whatever an engine raises comes
out as an `SdError` with the model, the backend and the reason in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils import _pytree as pytree

from sdbackends import say
from sdbackends.artifacts import CaptureStore
from sdbackends.capture.export import Capture, capture, weights_of
from sdbackends.capture.signature import CallSignature, ModuleState
from sdbackends.engines.base import GraphEngine, MissingOp, ModuleCall, ModuleEngine, Program
from sdbackends.errors import BuildError, SdError, UnsupportedOpsError
from sdbackends.missing import counted, op_lines, place_lines

#: Seconds after which a build that is still going on says so.
_PATIENCE = 4.0


@dataclass(frozen=True)
class Invocation:
    """One call: `call(*args, **kwargs)`, where `call` is the module's own forward."""

    module: torch.nn.Module
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: ModuleState
    signature: CallSignature

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`args` and `kwargs` in containers of their own, for one run of the call.

        A forward may empty a list that it is given (diffusers' UNet those of a T2I-Adapter), and
        one call is run more than once: to build, to answer, to compare.
        """
        copied: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_map(
            lambda leaf: leaf, (self.args, self.kwargs)
        )
        return copied

    def eager(self) -> Any:
        args, kwargs = self.arguments()
        return self.call(*args, **kwargs)


class Runnable(Protocol):
    """A built program, of either kind."""

    def run(self, invocation: Invocation) -> Any:
        """What the model itself would return."""

    def rebind(self, module: torch.nn.Module) -> bool:
        """Take the weights anew; False: this program cannot, and must be built again."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Builder:
    """Builds the programs of one model.

    Args:
        label: how messages name the model: "unet (UNet2DConditionModel)".
        backend: the backend's name, for messages.
        store: where captures are kept between processes.
    """

    label: str
    backend: str
    engine: GraphEngine | ModuleEngine
    store: CaptureStore

    def build(self, invocation: Invocation) -> Runnable:
        """The program for this call, with one line on what it took.

        Raises:
            SdError: the call cannot be captured, or the engine cannot take or build it.
        """
        start = time.perf_counter()
        with _patience(f"{self.label}: building for {self.backend} (once for this size) …"):
            try:
                runnable, how = self._build(invocation)
            except SdError:
                raise
            except Exception as error:
                raise BuildError(
                    f"{self.label} could not be built for {self.backend}", why=in_words(error)
                ) from error
        seconds = time.perf_counter() - start
        say.note(f"{self.label}: {self.backend}, ready in {seconds:.1f} s ({how})")
        return runnable

    def _build(self, invocation: Invocation) -> tuple[Runnable, str]:
        if isinstance(self.engine, ModuleEngine):
            return _from_module(self.engine, invocation)
        return self._from_capture(self.engine, invocation)

    def _from_capture(self, engine: GraphEngine, invocation: Invocation) -> tuple[Runnable, str]:
        captured, known = self._capture(invocation)
        missing = engine.unsupported(captured.graph)
        if missing:
            raise _unsupported(self.label, self.backend, missing)
        weights = weights_of(invocation.module, captured.graph)
        program = engine.build(captured.graph, weights, captured.constants)
        parts = (f"capture {_origin(known)}", f"program {_origin(program.from_cache)}", program.how)
        how = ", ".join(part for part in parts if part)
        return _GraphProgram(captured, program), how

    def _capture(self, invocation: Invocation) -> tuple[Capture, bool]:
        """The capture, and whether it was kept from before."""
        key = self.store.key(invocation.signature, invocation.state)
        known = self.store.load(key) if key else None
        if known is not None:
            return known, True
        made = capture(invocation.module, invocation.args, invocation.kwargs, call=invocation.call)
        if key:
            self.store.save(key, made)
        return made, False


@dataclass
class _GraphProgram:
    """A program built from our capture."""

    capture: Capture
    program: Program

    def run(self, invocation: Invocation) -> Any:
        return self.capture.result(list(self.program(invocation.signature.tensors)))

    def rebind(self, module: torch.nn.Module) -> bool:
        self.program.rebind(weights_of(module, self.capture.graph))
        return True

    def close(self) -> None:
        self.program.close()


@dataclass
class _ModuleProgram:
    """A program that the engine made from the module itself; it reads the live weights."""

    program: ModuleCall
    frozen: bool

    def run(self, invocation: Invocation) -> Any:
        return self.program(invocation.call, *invocation.arguments())

    def rebind(self, module: torch.nn.Module) -> bool:
        return not self.frozen

    def close(self) -> None:
        pass


def _from_module(engine: ModuleEngine, invocation: Invocation) -> tuple[Runnable, str]:
    before = engine.compiled_from_cache()
    program = _ModuleProgram(engine.build_module(invocation.call), engine.frozen)
    program.run(invocation)  # such an engine compiles at its first call
    return program, f"program {_origin(engine.compiled_from_cache() > before)}"


def in_words(error: Exception) -> str:
    """An exception's kind and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"


def _origin(kept: bool) -> str:
    return "from cache" if kept else "new"


def _unsupported(label: str, backend: str, missing: tuple[MissingOp, ...]) -> UnsupportedOpsError:
    lines = [line for op in missing for line in op_lines(op)]
    return UnsupportedOpsError(
        f"{label} stays on eager torch",
        why="\n        ".join([f"{backend} lacks {counted(len(missing), 'op')}:", *lines]),
        mend="\n        ".join(place_lines(missing)),
    )


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
