"""A forward looks for a value that is not there yet, and takes another one instead."""

from __future__ import annotations

import collections
import contextlib
import os
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from tests.scripts.models import Applying, applying, before_and_after, picture, reading
from tests.scripts.registry import case


class Holder:
    """An object of the script's without attributes."""


def or_one(look: Callable[[], float]) -> Callable[[], float]:
    """What `look` finds, or 1.0: it is easier to ask forgiveness than permission."""

    def read():
        try:
            return look()
        except (LookupError, AttributeError, NameError):
            return 1.0

    return read


def set_later(read: Callable[[], float], holder: Any) -> Any:
    return before_and_after(reading(read), lambda: setattr(holder, "strength", 5.0))


def of_the_model(read: Callable[[Applying], float], change: Callable[[Applying], Any]) -> Any:
    model = applying(lambda h: h * read(model))
    first = picture(model)
    change(model)
    return first, picture(model)


@case(compiled=True)
def key_of_a_dict():
    values: dict[str, float] = {}
    return before_and_after(
        reading(or_one(lambda: values["strength"])), lambda: values.update(strength=5.0)
    )


@case
def key_of_an_ordered_dict():
    values: dict[str, float] = collections.OrderedDict()
    return before_and_after(
        reading(or_one(lambda: values["strength"])), lambda: values.update(strength=5.0)
    )


@case
def key_that_is_a_tuple():
    values: dict[Any, float] = {}
    return of_the_model(
        lambda model: or_one(lambda: values["strength", model.training])(),
        lambda model: values.update({("strength", False): 5.0}),
    )


@case
def key_error_suppressed():
    values: dict[str, float] = {}

    def read():
        strength = 1.0
        with contextlib.suppress(KeyError):
            strength = values["strength"]
        return strength

    return before_and_after(reading(read), lambda: values.update(strength=5.0))


@case
def key_that_goes_away():
    values = {"strength": 5.0}
    return before_and_after(reading(or_one(lambda: values["strength"])), values.clear)


@case
def first_map_of_a_chain():
    first: dict[str, float] = {}
    values = collections.ChainMap(first, {"strength": 1.0})
    return before_and_after(reading(lambda: values["strength"]), lambda: first.update(strength=5.0))


@case
def variable_of_the_environment():
    with mock.patch.dict(os.environ):
        os.environ.pop("STRENGTH", None)
        return before_and_after(
            reading(lambda: float(os.environ.get("STRENGTH", "1"))),
            lambda: os.environ.update(STRENGTH="5"),
        )


@case(compiled=True)
def attribute_of_the_model():
    return of_the_model(
        lambda model: or_one(lambda: model.strength)(),
        lambda model: setattr(model, "strength", 5.0),
    )


@case
def buffer_of_the_model():
    return of_the_model(
        lambda model: or_one(lambda: model.strength)(),
        lambda model: model.register_buffer("strength", torch.tensor(5.0)),
    )


@case
def submodule_of_the_model():
    return of_the_model(
        lambda model: or_one(lambda: 5.0 if model.gate else 1.0)(),
        lambda model: model.add_module("gate", torch.nn.Identity()),
    )


@case
def key_of_a_module_dict():
    parts = torch.nn.ModuleDict()
    return before_and_after(
        reading(or_one(lambda: 5.0 if parts["gate"] else 1.0)),
        lambda: parts.update({"gate": torch.nn.Identity()}),
    )


@case
def attribute_of_an_object():
    holder = Holder()
    return set_later(or_one(lambda: holder.strength), holder)


@case
def attribute_of_its_class():
    class Mine:
        pass

    holder = Mine()
    return set_later(or_one(lambda: holder.strength), Mine)


@case
def attribute_of_a_class():
    class Mine:
        pass

    return set_later(or_one(lambda: Mine.strength), Mine)


@case
def attribute_of_a_namespace():
    holder = types.SimpleNamespace()
    return set_later(or_one(lambda: holder.strength), holder)


@case
def attribute_of_a_python_module():
    holder = types.ModuleType("settings_of_the_script")
    return set_later(or_one(lambda: holder.strength), holder)


@case
def attribute_of_a_function():
    def holder():
        pass

    return set_later(or_one(lambda: holder.strength), holder)


@case
def getattr_of_a_function():
    def holder():
        pass

    return set_later(lambda: getattr(holder, "strength", 1.0), holder)


@case
def slot():
    class Mine:
        __slots__ = ("strength",)

    holder = Mine()
    return set_later(or_one(lambda: holder.strength), holder)


@case
def property_that_looks_for_an_attribute():
    class Mine:
        @property
        def value(self):
            return self.strength

    holder = Mine()
    return set_later(or_one(lambda: holder.value), holder)


@case
def class_with_getattr():
    class Mine:
        def __getattr__(self, name):
            return 1.0

    holder = Mine()
    return set_later(lambda: holder.strength, holder)


@case
def wrapper_with_getattr():
    inner = Holder()

    class Mine:
        def __getattr__(self, name):
            return getattr(inner, name)

    holder = Mine()
    return set_later(or_one(lambda: holder.strength), inner)


@case
def vars_of_an_object():
    holder = Holder()
    return set_later(lambda: vars(holder).get("strength", 1.0), holder)


@case
def number_of_attributes():
    holder = Holder()
    return set_later(lambda: 1.0 + len(vars(holder)), holder)


@case
def dict_of_the_model():
    return of_the_model(
        lambda model: model.__dict__.get("strength", 1.0),
        lambda model: setattr(model, "strength", 5.0),
    )


@case
def attribute_that_a_call_sets():
    """The first call keeps a number on the model, the next ones find it."""

    def function(h):
        try:
            return h * model.kept
        except AttributeError:
            model.kept = 5.0
            return h

    model = applying(function)
    return picture(model), picture(model), model.kept


@case
def key_that_a_call_sets():
    kept: dict[str, float] = {}

    def function(h):
        try:
            return h * kept["strength"]
        except KeyError:
            kept["strength"] = 5.0
            return h

    model = applying(function)
    first, second = picture(model), picture(model)
    kept.clear()
    return first, second, picture(model), kept
