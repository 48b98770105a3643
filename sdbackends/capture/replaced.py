"""Keep torch's functions what they were while a graph that Dynamo traced is built and run.

A graph calls torch's functions by their names (`torch.nn.functional.silu`). Where a script has
replaced one by a function that calls the original, Dynamo traces into it and puts the original into
the graph; by its name the replacement would be found, and the graph would do its work twice. The
decompositions of operations, which are Python, look functions up by name as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from sdbackends.errors import CaptureError


def call_originals(graph: torch.fx.GraphModule) -> None:
    """Make every node call the function that it holds, whatever has its name today.

    Raises:
        CaptureError: a method of tensors that it calls is one of the script's.
    """
    changed = False
    for node in graph.graph.nodes:
        if node.op == "call_method" and is_foreign(str(node.target)):
            raise CaptureError(
                "the call cannot be captured",
                why=f"torch.Tensor.{node.target} was replaced",
                fix="the model runs on eager torch instead",
            )
        if node.op == "call_function" and _is_replaced(node.target):
            node.target = _held(node.target)
            changed = True
    if changed:
        graph.recompile()


@contextmanager
def as_imported() -> Iterator[None]:
    """Put torch's own functions back in their places for a while."""
    swapped = []
    for place, functions in _ORIGINALS:
        now = vars(place)
        for name, original in functions.items():
            if now.get(name) is not original and name in now:
                swapped.append((place, name, now[name]))
                setattr(place, name, original)
    try:
        yield
    finally:
        for place, name, value in reversed(swapped):
            setattr(place, name, value)


def is_foreign(method: str) -> bool:
    """Whether a method of tensors is neither torch's nor one of this package's stand-ins."""
    return not _is_ours(getattr(torch.Tensor, method, None))


def _is_ours(function: Any) -> bool:
    # Builtin functions of torch name no module.
    home = getattr(function, "__module__", None) or "torch"
    return str(home).partition(".")[0] in ("torch", "sdbackends")


def _is_replaced(target: Any) -> bool:
    home, name = getattr(target, "__module__", None) or "torch", getattr(target, "__name__", "")
    if home.partition(".")[0] != "torch" or getattr(target, "__objclass__", None):
        return False
    if isinstance(target, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return False
    try:
        found = getattr(importlib.import_module(home), name, target)
    except ImportError:
        return False
    return found is not target


def _functions(place: ModuleType) -> dict[str, Any]:
    found = vars(place).items()
    return {n: f for n, f in found if callable(f) and not isinstance(f, type) and _is_ours(f)}


#: As they are when a session begins to route, which is before a script has a model to patch for.
_ORIGINALS = [(place, _functions(place)) for place in (torch, torch.nn.functional)]


def _held(function: Callable[..., Any]) -> Callable[..., Any]:
    # Not `functools.wraps`: by torch's name it would be looked up again. Functions of torch also
    # look themselves up, to offer the call to `__torch_function__`.
    def original(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    original.__name__ = original.__qualname__ = f"original_{function.__name__}"
    return original
