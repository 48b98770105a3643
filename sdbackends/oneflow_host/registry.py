"""What the host adds to OneFlow, as data: dotted torch names and what stands for them.

The modules that define the additions register them here with `provides`, `tensor_method` and
`module_method`; `dressed` and `session` read the tables. `load()` imports all of those modules,
and with them oneflow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

_T = TypeVar("_T")

#: "torch.nn.functional.group_norm" -> the object. These win over OneFlow's own of that name.
PROVIDED: dict[str, Any] = {}
#: Attributes added to `oneflow.Tensor` and to `oneflow.nn.Module`.
TENSOR: dict[str, Any] = {}
MODULE: dict[str, Any] = {}

#: Where the additions are defined, by concept.
_CHAPTERS = (
    "dtypes",
    "devices",
    "creation",
    "random",
    "init",
    "functional",
    "operations",
    "tensor",
    "module",
    "noops",
    "pytree",
)


def provides(*dotted: str) -> Callable[[_T], _T]:
    """The decorated function or class is what these names of torch mean."""

    def register(thing: _T) -> _T:
        for name in dotted:
            PROVIDED[name] = thing
        return thing

    return register


def tensor_method(*names: str) -> Callable[[_T], _T]:
    """The decorated function (or property) is `Tensor.name`."""

    def register(thing: _T) -> _T:
        for name in names:
            TENSOR[name] = thing
        return thing

    return register


def module_method(*names: str) -> Callable[[_T], _T]:
    """The decorated function is `nn.Module.name`."""

    def register(thing: _T) -> _T:
        for name in names:
            MODULE[name] = thing
        return thing

    return register


@functools.cache
def load() -> None:
    """Fill the tables; imports oneflow."""
    for chapter in _CHAPTERS:
        import_module(f"{__package__}.{chapter}")


@functools.cache
def provided_modules() -> frozenset[str]:
    """Every module that some provided name stands in: `torch.compiler`, `torch.nn.attention`, …"""
    load()
    found = set()
    for dotted in PROVIDED:
        parent = dotted.rpartition(".")[0]
        while parent and parent not in PROVIDED:
            found.add(parent)
            parent = parent.rpartition(".")[0]
    return frozenset(found)
