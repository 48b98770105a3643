"""What a call leaves behind in the model's own objects: found, undone, named.

A capture runs the call on tensors that hold no numbers. Where the model keeps one of them (an
attention processor that stores its map, a hook that notes a size), a program could not repeat that,
and the next eager call would find a tensor without numbers. `watched` notes every attribute of the
model's modules and of the plain objects that they hold, and what its hooks have in their closures.
A cached function (`functools.lru_cache`) that was filled meanwhile is emptied: what it keeps is no
effect, but computed anew from numbers at the next call.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

#: Where a call may leave something: an object's `__dict__`, a variable of a hook's surroundings.
Held: TypeAlias = "dict[str, Any] | types.CellType"
#: A function that `functools.lru_cache` or `functools.cache` made.
_LRU = type(functools.cache(len))
#: How deep objects in objects are followed: a processor, and what it keeps.
_DEPTH = 2
#: transformers hooks a model's layers once, at the first call that asks for hidden states, and
#: notes that it did. These hooks keep nothing, and belong there from then on. `recorders` lays them
#: where the caller asks; a model that asks one inside it does so within the capture.
_RECORDERS = "transformers.utils.output_capturing"
_RECORDERS_LAID = "_output_capturing_hooks_installed"


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[list[str]]:
    """Names what the block changed, in the list that it gives, and puts it back as it was."""
    before = [(path, held, _copies(held)) for path, held in _places(module)]
    filled = [(cached, cached.cache_info().misses) for cached in _cached_functions(module)]
    changed: list[str] = []
    try:
        yield changed
    finally:
        for path, held, known in before:
            changed.extend(f"{path}.{name}".strip(".") for name in _restore(held, known))
        for cached, misses in filled:
            if cached.cache_info().misses != misses:
                cached.cache_clear()


def _places(module: torch.nn.Module) -> Iterator[tuple[str, Held]]:
    """Every `__dict__` and every cell of a hook's closure where a call may leave something."""
    seen: set[int] = set()
    for path, part in module.named_modules():
        for name, value in list(vars(part).items()):
            yield from _objects(f"{path}.{name}", value, seen, _DEPTH)
        yield path, vars(part)
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values()):
            for cell in getattr(hook, "__closure__", None) or ():
                yield f"{path}: {getattr(hook, '__qualname__', 'a hook')}", cell


def _cached_functions(module: torch.nn.Module) -> Iterator[Any]:
    """Methods of the model's classes, and functions of the files in which those stand."""
    classes = {kind for part in module.modules() for kind in type(part).__mro__}
    files = {sys.modules.get(kind.__module__) for kind in classes} - {None}
    seen: set[int] = set()
    for place in (*classes, *files):
        for held in list(vars(place).values()):
            value = held.__func__ if isinstance(held, (staticmethod, classmethod)) else held
            if isinstance(value, _LRU) and id(value) not in seen:
                seen.add(id(value))
                yield value


def _objects(
    path: str, value: Any, seen: set[int], depth: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    plain = (torch.Tensor, torch.nn.Module, type, types.ModuleType, types.FunctionType)
    if isinstance(value, plain) or id(value) in seen or depth == 0:
        return
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        seen.add(id(value))
        for name, inner in held.items():
            yield from _objects(f"{path}.{name}", inner, seen, depth - 1)
        yield path, held


@dataclass(frozen=True)
class _Known:
    """A value as it was: itself, what stood in it, and a copy that no call can reach."""

    value: Any
    contents: Any
    copy: Any

    @classmethod
    def of(cls, value: Any) -> _Known:
        for kind in (dict, list, set):
            if isinstance(value, kind):
                return cls(value, kind(value), _copy(value))
        return cls(value, None, _copy(value))


def _copies(held: Held) -> dict[str, _Known]:
    return {name: _Known.of(value) for name, value in _items(held)}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(one) for one in value]
    return set(value) if isinstance(value, set) else value


def _items(held: Held) -> list[tuple[str, Any]]:
    if isinstance(held, dict):
        return list(held.items())
    try:
        return [("", held.cell_contents)]
    except ValueError:  # nothing stands in it yet
        return []


def _restore(held: Held, known: dict[str, _Known]) -> Iterator[str]:
    now = dict(_items(held))
    for name in dict.fromkeys((*known, *now)):
        if name == _RECORDERS_LAID or (name == "_forward_hooks" and _only_recorders(held, known)):
            continue
        if name not in known:
            _put(held, name, None)
            yield name
        elif name not in now or not _same(now[name], known[name].copy):
            _put(held, name, known[name])
            yield name


def _only_recorders(held: Held, known: dict[str, _Known]) -> bool:
    """Whether hooks that record for transformers are all that came to a module's own."""
    now, before = dict(_items(held))["_forward_hooks"], known["_forward_hooks"].copy
    new = (hook for key, hook in now.items() if key not in before)
    return all(getattr(hook, "__module__", None) == _RECORDERS for hook in new) and all(
        key in now and now[key] is hook for key, hook in before.items()
    )


def _same(now: Any, copy: Any) -> bool:
    """Numbers, words and containers by value, since a capture makes some anew."""
    if isinstance(now, dict):
        return (
            isinstance(copy, dict)
            and now.keys() == copy.keys()
            and all(_same(now[key], copy[key]) for key in copy)
        )
    if isinstance(now, (list, tuple)):
        return isinstance(copy, list) and len(now) == len(copy) and all(map(_same, now, copy))
    if isinstance(now, (int, float, str, set)):
        return type(now) is type(copy) and bool(now == copy)
    return now is copy


def _put(held: Held, name: str, known: _Known | None) -> None:
    """Back to what was known of it; None: it was not there."""
    if known is not None and isinstance(known.value, list):
        known.value[:] = known.contents
    elif known is not None and isinstance(known.value, (dict, set)):
        known.value.clear()
        known.value.update(known.contents)
    if isinstance(held, dict):
        if known is None:
            del held[name]
        else:
            held[name] = known.value
    elif known is None:
        del held.cell_contents
    else:
        held.cell_contents = known.value
