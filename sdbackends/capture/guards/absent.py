"""Guard what a forward looked for and did not find.

Dynamo guards the attributes and keys that the traced code read. Where the code looks for one that
is not there, and an exception says so, it guards nothing: after

    try:
        scale = table["scale"]
    except KeyError:
        scale = 1.0

a key that the script adds later goes unseen, and so does an attribute, for which the class may also
have a `__getattr__`. While a trace of ours runs, the functions here stand around the places where
Dynamo answers such a lookup, and add the guard that it installs itself for `hasattr` and `in`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._dynamo.exc import ObservedAttributeError
from torch._dynamo.guards import GuardBuilder, install_guard
from torch._dynamo.source import AttrSource
from torch._dynamo.variables import dicts
from torch._dynamo.variables.base import VariableTracker
from torch._dynamo.variables.user_defined import UserDefinedObjectVariable

Change = tuple[Any, str, Any]


def changes() -> Iterator[Change]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    a_dict, an_object = dicts.ConstDictVariable, UserDefinedObjectVariable
    yield from _wrapped(a_dict, "getitem_const_raise_exception_if_absent", _guarded_key)
    for kind in set(_kinds(VariableTracker)) - {an_object}:
        yield from _wrapped(kind, "var_getattr", _guarded_attribute)
        yield from _wrapped(kind, "call_obj_hasattr", _guarded_hasattr)
    yield from _wrapped(an_object, "call_obj_hasattr", _guarded_hasattr)
    if "generic_getattr" in vars(an_object):
        yield from _wrapped(an_object, "var_getattr", _guarded_attribute)
        yield from _wrapped(an_object, "generic_getattr", _guarded_getattr)
    else:  # torch 2.11 and 2.12 do both in one function
        yield from _wrapped(an_object, "var_getattr", _guarded_attribute_or_getattr)
    of_an_object = getattr(dicts, "DunderDictVariable", None)
    if of_an_object is not None:
        yield from _wrapped(of_an_object, "install_dict_contains_guard", _guarded_dict_of_an_object)
        yield from _wrapped(
            of_an_object, "install_dict_keys_match_guard", _guarded_keys_of_an_object
        )
    else:  # torch 2.11 asks the object
        yield from _wrapped(an_object, "has_key_in_generic_dict", _guarded_key_of_an_object)


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for below in type.__subclasses__(kind):
        yield from _kinds(below)


def _wrapped(kind: type[Any], name: str, wrapper: Callable[..., Any]) -> Iterator[Change]:
    # Not every release of torch has them all.
    original = vars(kind).get(name)
    if original is not None:
        yield kind, name, wrapper(original)


def _guarded_key(original: Any) -> Any:
    @functools.wraps(original)
    def getitem(self: Any, tx: Any, arg: Any) -> Any:
        if arg not in self:
            self.install_dict_contains_guard(tx, [arg])
        return original(self, tx, arg)

    return getitem


def _guarded_attribute(original: Any) -> Any:
    @functools.wraps(original)
    def var_getattr(self: Any, tx: Any, name: str) -> Any:
        try:
            return original(self, tx, name)
        except ObservedAttributeError:
            _guard_attribute(self, name)
            raise

    return var_getattr


def _guarded_hasattr(original: Any) -> Any:
    @functools.wraps(original)
    def call_obj_hasattr(self: Any, tx: Any, name: str) -> Any:
        found = original(self, tx, name)
        if found.is_python_constant() and not found.as_python_constant():
            _guard_attribute(self, name)
        return found

    return call_obj_hasattr


def _guarded_getattr(original: Any) -> Any:
    """For an object whose class has a `__getattr__`: an attribute set later goes before it."""

    @functools.wraps(original)
    def generic_getattr(self: Any, tx: Any, name: str) -> Any:
        asked = self._check_for_getattr()
        # Those of modules, which look for weights, are guarded by Dynamo.
        if asked not in (None, torch.nn.Module.__getattr__) and not hasattr(type(self.value), name):
            held = getattr(self.value, "__dict__", None)
            if held is not None and name not in held:
                _guard(self, GuardBuilder.NOT_PRESENT_IN_GENERIC_DICT, name)
        return original(self, tx, name)

    return generic_getattr


def _guarded_key_of_an_object(original: Any) -> Any:
    @functools.wraps(original)
    def has_key_in_generic_dict(self: Any, tx: Any, key: str) -> bool:
        found = bool(original(self, tx, key))
        if not found and isinstance(key, str) and key not in self.value.__dict__:
            _guard(self, GuardBuilder.NOT_PRESENT_IN_GENERIC_DICT, key)
        return found

    return has_key_in_generic_dict


def _guarded_dict_of_an_object(original: Any) -> Any:
    @functools.wraps(original)
    def install_dict_contains_guard(self: Any, tx: Any, args: list[Any]) -> None:
        original(self, tx, args)
        if args[0].is_python_constant() and args[0] not in self:
            owner, name = self.items.item, args[0].as_python_constant()
            if isinstance(name, str) and name not in getattr(owner, "value", owner).__dict__:
                _guard(owner, GuardBuilder.NOT_PRESENT_IN_GENERIC_DICT, name)

    return install_dict_contains_guard


def _guarded_keys_of_an_object(original: Any) -> Any:
    @functools.wraps(original)
    def install_dict_keys_match_guard(self: Any) -> None:
        original(self)
        if self.source:
            install_guard(self.make_guard(GuardBuilder.DICT_KEYS_MATCH))

    return install_dict_keys_match_guard


def _guarded_attribute_or_getattr(original: Any) -> Any:
    return _guarded_attribute(_guarded_getattr(original))


def _guard_attribute(variable: Any, name: str) -> None:
    """That it has none of this name."""
    if "attr" in inspect.signature(GuardBuilder.HASATTR).parameters:
        _guard(variable, GuardBuilder.HASATTR, name)
    elif variable.source:  # torch 2.11 reads the name from the source
        install_guard(AttrSource(variable.source, name).make_guard(GuardBuilder.HASATTR))


def _guard(variable: Any, kind: Callable[..., Any], name: str) -> None:
    if variable.source:
        install_guard(variable.source.make_guard(functools.partial(kind, attr=name)))
