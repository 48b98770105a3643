"""Notice that a class or a function that a program was traced from has changed.

Dynamo guards what the traced code read from objects, closures and globals. It takes the methods of
classes for granted: `FeedForward.forward = mine` after the first call goes unseen, and so does a
function whose `__code__` or defaults are replaced. A `ClassGuard` holds what stands in the classes
of a model and of the objects that the traced code read, and in the functions among it that were
traced.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Iterable, Mapping
from typing import Any

import torch

_HEAP_TYPE = 1 << 9


class ClassGuard:
    """The classes that programs of one model depend on, as they were when it was made."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._classes: list[tuple[Mapping[str, Any], list[Any]]] = []
        self._functions: list[types.FunctionType] = []
        self._parts: list[tuple[Any, ...]] = []
        self._keywords: list[tuple[dict[str, Any], list[Any]]] = []
        self._seen: set[type] = set()
        self._codes: set[types.CodeType] = set()
        self.add(map(type, module.modules()), ())
        self.add([torch.Tensor], ())

    def add(self, classes: Iterable[type], codes: Iterable[types.CodeType]) -> None:
        """Depend on classes, their bases and metaclasses, and on functions with these codes."""
        new = set(codes) - self._codes
        self._codes |= new
        known = list(self._classes)
        for kind in {base for each in set(classes) for base in _asked(each)} - self._seen:
            self._seen.add(kind)
            if kind.__flags__ & _HEAP_TYPE:
                values = list(kind.__dict__.values())
                self._classes.append((kind.__dict__, values))
                self._watch(values, self._codes)
        if new:
            for _, values in known:
                self._watch(values, new)

    def holds(self) -> bool:
        """Whether all of it is as it was. Runs at every call."""
        try:
            for now, before in self._classes:
                if list(now.values()) != before:
                    return False
        except Exception:  # a class attribute whose comparison fails was replaced
            return False
        if not all(map(_same, map(_parts, self._functions), self._parts)):
            return False
        return all(_identical(now.values(), before) for now, before in self._keywords)

    def _watch(self, values: Iterable[Any], codes: set[types.CodeType]) -> None:
        for value in values:
            function = _function(value)
            if function is not None and function.__code__ in codes:
                self._functions.append(function)
                self._parts.append(_parts(function))
                keywords = function.__kwdefaults__
                if keywords:
                    self._keywords.append((keywords, list(keywords.values())))


def _asked(kind: type) -> tuple[type, ...]:
    """The classes in which Python looks for an attribute of an instance, or of the class itself."""
    metaclass: type = type(kind)
    return kind.__mro__ + metaclass.__mro__


def _function(value: Any) -> types.FunctionType | None:
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    return value if isinstance(value, types.FunctionType) else None


#: What of a function decides what it does. Its closure is guarded by Dynamo.
_parts = operator.attrgetter("__code__", "__defaults__", "__kwdefaults__")


def _same(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    return now[0] is before[0] and now[1] is before[1] and now[2] is before[2]


def _identical(now: Iterable[Any], before: list[Any]) -> bool:
    found = list(now)
    return len(found) == len(before) and all(map(operator.is_, found, before))
