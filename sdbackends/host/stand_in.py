"""Replacements for functions and methods of torch that look like what they replace.

`apply` replaces a name of torch by a callable of our own. Everything that a script can ask of it
(`__name__`, `__module__`, `__doc__`, `__self__`, its class by `isinstance`, equality, pickle, copy)
is answered by torch's own object, and `torch.jit.script` finds the same operator for it. Functions
that torch writes in Python need none of this: `functools.wraps` does.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch

from sdbackends.host.patches import Patches

#: Answered by the stand-in itself; every other attribute is read from torch's own object.
_OWN = frozenset({"_like", "_call", "_owner", "__reduce__", "__reduce_ex__"})


class StandIn:
    """Called in place of a built-in function of torch."""

    __slots__ = ("__weakref__", "_call", "_like", "_owner")

    def __init__(self, owner: Any, like: Any, call: Callable[..., Any]) -> None:
        # One set over another is like what the first one is like.
        self._like = like._like if is_stand_in(like) else like
        self._call = call
        self._owner = owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _call_of(self)(*args, **kwargs)

    def __getattribute__(self, name: str) -> Any:
        # `__class__` too: inspect.isbuiltin and isinstance ask for it.
        own = name in _OWN
        return object.__getattribute__(self, name) if own else getattr(_like_of(self), name)

    # Tables of torch (torch.overrides, torch.compile's rules) have functions as keys.
    def __eq__(self, other: object) -> bool:
        return self is other or other is _like_of(self)

    def __hash__(self) -> int:
        return hash(_like_of(self))

    def __repr__(self) -> str:
        return repr(self._like)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return str(self._like.__name__)


#: Read past `__getattribute__`, which would cost every call of torch.zeros half a microsecond.
_call_of: Callable[[StandIn], Callable[..., Any]] = vars(StandIn)["_call"].__get__
_like_of: Callable[[StandIn], Any] = vars(StandIn)["_like"].__get__


class MethodStandIn(StandIn):
    """Called in place of a method that torch writes in C."""

    __slots__ = ()

    def __get__(self, instance: Any, kind: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (self._owner, self._like.__name__)


def is_stand_in(thing: Any) -> bool:
    """Whether `thing` is a stand-in; `isinstance` is told that it is torch's own."""
    return type(thing) in (StandIn, MethodStandIn)


def apply(patches: Patches, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace `owner.name` by `make(what was there)`, and undo it with `patches`."""
    before = getattr(owner, name)
    kind = MethodStandIn if isinstance(owner, type) else StandIn
    call = make(before)
    stand_in = kind(owner, before, call)
    _skip_frames_of(call)
    if kind is StandIn:
        _tell_jit(patches, before, stand_in)
    patches.set(owner, name, stand_in)


def _skip_frames_of(call: Any) -> None:
    """Dynamo traces into a stand-in that a traced call calls, and compiles no frame of it alone.

    In what it compiles it finds torch's own function by its name, which is the stand-in's: one that
    is called between two graphs would call itself.
    """
    # What `torch._dynamo` has for it takes a second to import.
    dynamo: Any = torch._C._dynamo.eval_frame
    skip = dynamo._FrameExecStrategy(dynamo._FrameAction.SKIP, dynamo._FrameAction.DEFAULT)
    for function in (call, StandIn.__call__):
        code = getattr(function, "__code__", None)
        if code is not None:
            dynamo.set_code_exec_strategy(code, skip)


def _tell_jit(patches: Patches, before: Any, stand_in: StandIn) -> None:
    """`torch.jit.script` finds operators by the identity of the function."""
    table: dict[int, str] = torch.jit._builtins._get_builtin_table()  # type: ignore[no-untyped-call]
    operator = table.get(id(before))
    if operator is not None:
        patches.set_item(table, id(stand_in), operator, "operators of torch.jit")
