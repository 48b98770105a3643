"""Dynamo as it is while it traces for us: its settings, and our changes to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import torch
import torch._dynamo.config
from torch._dynamo import trace_rules
from torch._dynamo.convert_frame import compile_lock
from torch._dynamo.types import (  # type: ignore[attr-defined]
    ConvertFrameReturn,
    FrameAction,
    FrameExecStrategy,
)
from torch._dynamo.utils import counters

from sdbackends.capture import cached_functions, guards, quiet_trace
from sdbackends.capture.call_record import CallRecord, record

#: Calls of a model in which something was traced, after which `TracedModel` begins anew.
PROGRAMS = 32
_SETTINGS: dict[str, Any] = {
    # Of one function, after which Dynamo stops. In a model that is traced in parts one call takes
    # a program for each part on code that all of them share.
    "recompile_limit": 8 * PROGRAMS,
    "accumulated_recompile_limit": 64 * PROGRAMS,
    "fail_on_recompile_limit_hit": False,
    # Both are unsafe shortcuts: a hook registered later, or `f.__defaults__` replaced, would go
    # unseen.
    "skip_nnmodule_hook_guards": False,
    "assume_dunder_attributes_remain_unchanged": False,
    # Parameters that become one and the same tensor later.
    "skip_no_tensor_aliasing_guards_on_parameters": False,
    # Both take a tensor in a dict for unchangeable: torch 2.11 misses `parameter.data = …`.
    "use_recursive_dict_tags_for_guards": False,
    "skip_tensor_guards_with_matching_dict_tags": False,
    "run_gc_after_compile": False,
    "automatic_dynamic_shapes": False,
}
_here = threading.local()


def settings_for(*, strict: bool, symbolic_floats: bool) -> dict[str, Any]:
    """Dynamo's settings for one model; see `TracedModel`."""
    settings = {
        **_SETTINGS,
        "suppress_errors": not strict,
        "specialize_float": not symbolic_floats,
    }
    # Not every release of torch has them all.
    return {name: v for name, v in settings.items() if hasattr(torch._dynamo.config, name)}


class WithSettings:
    """Dynamo's own callback, which runs where a frame has to be traced, under our settings.

    Patched around every call instead, they would cost each of them.

    Args:
        code: that of the function that is compiled. After a break others have programs too.
    """

    def __init__(
        self, callback: Callable[..., Any], settings: dict[str, Any], code: CodeType
    ) -> None:
        #: By this name Dynamo looks for the backend, by which it tells programs apart.
        self._torchdynamo_orig_backend = callback
        self._settings = settings
        self._code = code
        self._in_parts = False

    def __call__(self, frame: Any, *args: Any, **kwargs: Any) -> Any:
        call = record() or CallRecord()
        if not call.may_trace:
            return _not_now(in_parts=self._in_parts)
        self._in_parts |= frame.f_code is not self._code
        if frame.f_code in call.skipped:
            return ConvertFrameReturn(apply_to_code=False)
        # Dynamo takes this lock itself, but patches its settings and counts outside of it.
        with compile_lock, torch._dynamo.config.patch(self._settings), _changed():
            before = counters["graph_break"].copy()
            try:
                answer = self._torchdynamo_orig_backend(frame, *args, **kwargs)
                return _for_this_owner(answer, frame.f_code, call)
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
            for of in (cached_functions, quiet_trace, *guards.KINDS):
                # Each asks for what it replaces when those before it are in place.
                for owner, name, value in list(of.changes()):
                    before.append((owner, name, vars(owner)[name]))
                    setattr(owner, name, value)
        yield
    finally:
        if before:
            _here.changed = False
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _for_this_owner(
    answer: ConvertFrameReturn, code: CodeType, call: CallRecord
) -> ConvertFrameReturn:
    """Dynamo's answer, but a function that it gives up is given up for this owner alone.

    Dynamo would mark the code, which other models may have too, where another part of it breaks.
    """
    skips = answer.frame_exec_strategy.cur_action == FrameAction.SKIP
    given_up = skips and answer.guarded_code is None and answer.apply_to_code
    # Code of files that Dynamo never traces is marked: it would be asked at each call of theirs.
    if given_up and not trace_rules.check(code):
        call.skipped.add(code)
        answer.apply_to_code = False
    return answer


def _not_now(*, in_parts: bool) -> ConvertFrameReturn:
    """Dynamo's answer for a frame that runs on eager torch this time.

    `in_parts`: functions that it calls may have programs of the model, and are looked up.
    `torch.compiler.set_stance` does the same, but for every thread.
    """
    calls = FrameAction.RUN_ONLY if in_parts else FrameAction.SKIP
    strategy = FrameExecStrategy(FrameAction.DEFAULT, calls)
    return ConvertFrameReturn(frame_exec_strategy=strategy, apply_to_code=False)
