"""One routed model: its programs by signature, and what to do when a call brings a new one.

A call comes in with the model's own forward. Its signature and the model's structure say which
program serves it; if none does, one is built. A program whose weights have changed since takes
them anew. Whatever goes wrong is raised as an `SdError` with its reason, and remembered, so that a
call that failed once is not built again and again; the router falls back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from sdbackends import say
from sdbackends.build import Builder, Invocation, Runnable, in_words
from sdbackends.capture.signature import UnsupportedArgument, call_signature, module_state
from sdbackends.engines.base import ModuleEngine
from sdbackends.errors import BuildError, CaptureError, NotFiniteError, RunError, SdError
from sdbackends.verify import compare, finite, tensors_of

#: Programs kept for one model; sizes, batches and adapters that take turns stay built.
KEPT = 16
#: New builds in a row for the same shapes without one reuse: something changes at every call.
_RESTLESS = 8


@dataclass
class _Entry:
    runnable: Runnable
    weights: tuple[Any, ...]
    verified: bool = False


@dataclass
class RoutedModel:
    """The programs of one model under one engine.

    Args:
        verify: compare each program's first call with eager and print the figures.
    """

    builder: Builder
    verify: bool = False
    _entries: OrderedDict[Any, _Entry | SdError] = field(default_factory=OrderedDict)
    _builds_in_a_row: dict[Any, int] = field(default_factory=dict)
    _prepared: bool = False

    def __call__(
        self,
        module: torch.nn.Module,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run one call on the engine. `call` is the module's own forward.

        Raises:
            SdError: the engine could not take, build or run it; nothing was changed.
        """
        self._prepare(module)
        invocation = self._describe(module, call, args, kwargs)
        entry = self._entry(invocation)
        try:
            result = entry.runnable.run(invocation)
        except SdError:
            raise
        except Exception as error:
            raise RunError(f"{self._name} failed", why=in_words(error)) from error
        return self._checked(entry, result, invocation)

    def close(self) -> None:
        for entry in self._entries.values():
            if isinstance(entry, _Entry):
                entry.runnable.close()
        self._entries.clear()

    @property
    def _name(self) -> str:
        return f"{self.builder.label} on {self.builder.backend}"

    def _prepare(self, module: torch.nn.Module) -> None:
        engine = self.builder.engine
        if not self._prepared and isinstance(engine, ModuleEngine):
            try:
                engine.prepare(module)
            except Exception as error:
                raise BuildError(
                    f"{self.builder.label} could not be prepared for {self.builder.backend}",
                    why=in_words(error),
                ) from error
        self._prepared = True

    def _describe(
        self, module: torch.nn.Module, call: Callable[..., Any], args: Any, kwargs: Any
    ) -> Invocation:
        stays = f"{self.builder.label} stays on eager torch"
        state = module_state(module)
        if state.obstacle is not None:
            raise CaptureError(stays, why=state.obstacle)
        try:
            signature = call_signature(args, kwargs)
        except UnsupportedArgument as error:
            raise CaptureError(stays, why=f"it is called with {error}") from error
        return Invocation(module, call, args, kwargs, state, signature)

    def _entry(self, invocation: Invocation) -> _Entry:
        """The program that serves this call, built if there is none."""
        state, signature = invocation.state, invocation.signature
        engine = self.builder.engine
        any_shape = isinstance(engine, ModuleEngine) and engine.any_shape
        key = (signature.shapeless if any_shape else signature.key, state.structure)
        entry = self._entries.get(key)
        if isinstance(entry, SdError):
            raise entry
        if entry is not None and entry.weights != state.weights:
            if entry.runnable.rebind(invocation.module):
                entry.weights = module_state(invocation.module).weights
            else:
                entry = None
        if entry is not None:
            self._builds_in_a_row.pop(signature.shapes, None)
            self._entries.move_to_end(key)
            return entry
        self._refuse_restless(signature.shapes)
        return self._build(key, invocation)

    def _build(self, key: Any, invocation: Invocation) -> _Entry:
        try:
            runnable = self.builder.build(invocation)
        except SdError as error:
            self._entries[key] = error
            raise
        # Building may lay weights out anew, so their identity is read afterwards.
        entry = self._entries[key] = _Entry(runnable, module_state(invocation.module).weights)
        while len(self._entries) > KEPT:
            _, old = self._entries.popitem(last=False)
            if isinstance(old, _Entry):
                old.runnable.close()
        return entry

    def _refuse_restless(self, shapes: Any) -> None:
        # New shapes are no sign of it: the tiles of one picture come in many.
        builds = self._builds_in_a_row[shapes] = self._builds_in_a_row.get(shapes, 0) + 1
        if builds > _RESTLESS:
            raise BuildError(
                f"{self.builder.label} stays on eager torch",
                why=f"its arguments or its state were new at each of {_RESTLESS} calls",
            )

    def _checked(self, entry: _Entry, result: Any, invocation: Invocation) -> Any:
        """NaN and Inf are the engine's fault only where eager has none."""
        good = finite(result)
        if good and (entry.verified or not self.verify):
            return result
        reference = invocation.eager()
        if not good and finite(reference):
            raise NotFiniteError(
                f"{self._name} failed", why="it returned NaN or Inf where eager torch does not"
            )
        if self.verify and not entry.verified:
            entry.verified = True
            gap = compare(tensors_of(reference), tensors_of(result))
            say.note(f"{self._name}, against eager torch: {gap}")
        return result
