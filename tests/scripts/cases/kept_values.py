"""A value that a forward reads changes between two calls: every place where Python can keep one."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import enum
import functools
import itertools
import os
import random
import sys
import tempfile
import threading
import time
import types
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.scripts.models import (
    X,
    applying,
    before_and_after,
    changed,
    picture,
    reading,
    small,
    with_processor,
)
from tests.scripts.registry import case

STRENGTH = 1.0
CACHE: dict[str, float] = {}
FLAG = False


class Holder:
    """An object of the script's with attributes."""

    shared = 1.0

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def set_global(name: str, value: Any) -> None:
    globals()[name] = value


@case(compiled=True)
def instance_attribute():
    holder = Holder(value=1.0)
    return before_and_after(reading(lambda: holder.value), lambda: setattr(holder, "value", 5.0))


@case
def attribute_of_the_model():
    model = applying(lambda h: h)
    model.strength = 1.0
    model.function = lambda h: h * model.strength
    return before_and_after(model, lambda: setattr(model, "strength", 5.0))


@case
def attribute_of_a_processor():
    model = with_processor(lambda: 1.0)
    model.attn.processor.value = 1.0
    model.attn.processor.read = lambda: model.attn.processor.value
    return before_and_after(model, lambda: setattr(model.attn.processor, "value", 5.0))


@case
def attribute_deleted_so_that_the_class_shows():
    class Mine(Holder):
        value = 5.0

    holder = Mine(value=1.0)
    return before_and_after(reading(lambda: holder.value), lambda: delattr(holder, "value"))


@case
def class_attribute():
    holder = Holder()
    with mock.patch.object(Holder, "shared", 1.0):
        return before_and_after(
            reading(lambda: holder.shared), lambda: setattr(Holder, "shared", 5.0)
        )


@case
def attribute_of_a_base_class():
    class Base:
        value = 1.0

    class Middle(Base):
        pass

    class Mine(Middle):
        pass

    holder = Mine()
    return before_and_after(
        reading(lambda: holder.value),
        lambda: setattr(Base, "value", 5.0),
        lambda: setattr(Middle, "value", 9.0),
    )


@case(compiled=True)
def global_variable():
    with mock.patch.dict(globals(), STRENGTH=1.0):
        return before_and_after(reading(lambda: STRENGTH), lambda: set_global("STRENGTH", 5.0))


@case
def global_of_another_module():
    module = types.ModuleType("settings_of_the_script")
    module.strength = 1.0
    return before_and_after(
        reading(lambda: module.strength), lambda: setattr(module, "strength", 5.0)
    )


@case
def module_found_in_sys_modules():
    module = types.ModuleType("settings_of_the_script")
    module.strength = 1.0
    with mock.patch.dict(sys.modules, settings_of_the_script=module):
        return before_and_after(
            reading(lambda: sys.modules["settings_of_the_script"].strength),
            lambda: setattr(module, "strength", 5.0),
        )


@case(compiled=True)
def closure_cell():
    """prompt-to-prompt: the forwards of cross attentions close over the controller's weight."""
    model, weight = small(), 1.0
    real = model.attn.forward
    model.attn.forward = lambda *args, **kwargs: real(*args, **kwargs) * weight
    first = picture(model)
    weight = 5.0
    return changed(first, picture(model))


@case
def closure_cell_two_deep():
    weight = 1.0

    def outer():
        def inner():
            return weight

        return lambda: inner()

    model = reading(outer())
    first = picture(model)
    weight = 5.0
    return changed(first, picture(model))


@case
def closure_cell_set_from_outside():
    def make(weight):
        return lambda: weight

    read = make(1.0)
    return before_and_after(
        reading(read), lambda: setattr(read.__closure__[0], "cell_contents", 5.0)
    )


@case
def default_arguments():
    def read(weight=1.0):
        return weight

    return before_and_after(reading(read), lambda: setattr(read, "__defaults__", (5.0,)))


@case
def keyword_defaults():
    def read(*, weight=1.0):
        return weight

    return before_and_after(
        reading(read),
        lambda: setattr(read, "__kwdefaults__", {"weight": 5.0}),
        lambda: read.__kwdefaults__.update(weight=9.0),
    )


@case
def mutable_default():
    def read(weights=[1.0]):  # noqa: B006
        return weights[0]

    return before_and_after(reading(read), lambda: read.__defaults__[0].__setitem__(0, 5.0))


@case(compiled=True)
def partial_as_processor():
    from tests.scripts.models import attention

    def processor(attn, hidden_states, encoder_hidden_states=None, *, weight=1.0, **others):
        return attention(attn, hidden_states, encoder_hidden_states) * weight

    model = small()
    pictures = []
    for weight in (1.0, 5.0):
        model.attn.processor = functools.partial(processor, weight=weight)
        pictures.append(picture(model))
    return changed(*pictures)


@case
def partial_arguments():
    model = reading(functools.partial(float, 1.0))
    return before_and_after(
        model, lambda: setattr(model, "function", lambda h: h * functools.partial(float, 5.0)())
    )


@case
def partial_keywords_edited():
    def read(*, weight):
        return weight

    partial = functools.partial(read, weight=1.0)
    return before_and_after(reading(partial), lambda: partial.keywords.update(weight=5.0))


@case
def partial_nested():
    def read(one, *, two):
        return one * two

    def nested(one, two):
        return functools.partial(functools.partial(read, one), two=two)

    model = reading(nested(1.0, 1.0))
    pictures = [picture(model)]
    for one, two in ((5.0, 1.0), (5.0, 3.0)):
        read_now = nested(one, two)
        model.function = lambda h, read_now=read_now: h * read_now()
        pictures.append(picture(model))
    return changed(*pictures)


@case
def partial_whose_state_is_set():
    def read(weight):
        return weight

    partial = functools.partial(read, 1.0)
    return before_and_after(
        reading(partial), lambda: partial.__setstate__((read, (5.0,), {}, None))
    )


@case
def slots():
    class Slotted:
        __slots__ = ("value",)

    holder = Slotted()
    holder.value = 1.0
    return before_and_after(reading(lambda: holder.value), lambda: setattr(holder, "value", 5.0))


@case
def dict_in_a_dict():
    values = {"outer": {"inner": 1.0}}
    return before_and_after(
        reading(lambda: values["outer"]["inner"]),
        lambda: values["outer"].update(inner=5.0),
        lambda: values.update(outer={"inner": 9.0}),
    )


@case
def list_in_objects_four_deep():
    holder = Holder(a=Holder(b=Holder(c=Holder(values=[0.0, 1.0]))))
    return before_and_after(
        reading(lambda: holder.a.b.c.values[1]),
        lambda: holder.a.b.c.values.__setitem__(1, 5.0),
        lambda: setattr(holder.a.b, "c", Holder(values=[0.0, 9.0])),
    )


@case
def list_that_grows():
    values = [1.0]
    return before_and_after(reading(lambda: sum(values)), lambda: values.append(4.0))


@case
def weak_reference():
    holder = Holder(value=1.0)
    reference = weakref.ref(holder)
    return before_and_after(
        reading(lambda: reference().value), lambda: setattr(holder, "value", 5.0)
    )


@case
def weak_reference_that_dies():
    holders = [Holder(value=1.0)]
    reference = weakref.ref(holders[0])
    return before_and_after(
        reading(lambda: 5.0 if reference() is None else reference().value), holders.clear
    )


@case
def weak_proxy():
    holder = Holder(value=1.0)
    proxy = weakref.proxy(holder)
    return before_and_after(reading(lambda: proxy.value), lambda: setattr(holder, "value", 5.0))


@case
def context_variable():
    strength = contextvars.ContextVar("strength", default=1.0)
    return before_and_after(reading(strength.get), lambda: strength.set(5.0))


@case
def environment_variable():
    with mock.patch.dict(os.environ, STRENGTH="1.0"):
        return before_and_after(
            reading(lambda: float(os.environ["STRENGTH"])),
            lambda: os.environ.update(STRENGTH="5.0"),
        )


@case
def named_tuple_replaced():
    kind = collections.namedtuple("kind", "name strength")
    holder = Holder(options=kind("a", 1.0))
    return before_and_after(
        reading(lambda: holder.options.strength),
        lambda: setattr(holder, "options", holder.options._replace(strength=5.0)),
    )


@case
def enum_replaced():
    class Mode(enum.Enum):
        WEAK = 1.0
        STRONG = 5.0

    holder = Holder(mode=Mode.WEAK)
    return before_and_after(
        reading(lambda: holder.mode.value), lambda: setattr(holder, "mode", Mode.STRONG)
    )


@case
def data_class():
    @dataclasses.dataclass
    class Options:
        strength: float = 1.0

    options = Options()
    return before_and_after(
        reading(lambda: options.strength), lambda: setattr(options, "strength", 5.0)
    )


@case
def frozen_data_class_forced():
    @dataclasses.dataclass(frozen=True)
    class Options:
        strength: float = 1.0

    options = Options()
    return before_and_after(
        reading(lambda: options.strength),
        lambda: object.__setattr__(options, "strength", 5.0),
    )


@case
def config_registered_anew():
    model = small()
    return before_and_after(model, lambda: model.register_to_config(gain=5.0))


@case
def config_edited_underneath():
    model = small()

    def edit():
        dict.__setitem__(model._internal_dict, "gain", 5.0)
        object.__setattr__(model._internal_dict, "gain", 5.0)

    return before_and_after(model, edit)


@case
def generator_state():
    values = (float(value) for value in (1, 5, 9))
    model = reading(lambda: next(values))
    return changed(picture(model), picture(model), picture(model))


@case
def iterator_of_a_list():
    values = iter([1.0, 5.0, 9.0])
    model = reading(lambda: next(values))
    return changed(picture(model), picture(model), picture(model))


@case
def cycle_that_two_calls_share():
    values = itertools.cycle([1.0, 5.0])
    model = reading(lambda: next(values))
    return changed(*(picture(model) for _ in range(4)))


@case(compiled=True)
def counter_of_steps():
    """prompt-to-prompt counts the calls, and edits attention in the first ones only."""
    controller = Holder(cur_step=0)

    def read():
        controller.cur_step += 1
        return 5.0 if controller.cur_step <= 2 else 1.0

    model = with_processor(read)
    pictures = [picture(model) for _ in range(4)]
    return (controller.cur_step, *pictures)


@case
def counter_in_a_closure():
    step = 0

    def read():
        nonlocal step
        step += 1
        return float(step)

    model = reading(read)
    return changed(*(picture(model) for _ in range(4)))


@case
def counter_in_a_global():
    def read():
        global STRENGTH
        STRENGTH += 1.0
        return STRENGTH

    with mock.patch.dict(globals(), STRENGTH=0.0):
        model = reading(read)
        return (*changed(*(picture(model) for _ in range(4))), STRENGTH)


@case
def flag_back_and_forth():
    model = reading(lambda: 5.0 if FLAG else 1.0)
    pictures = []
    with mock.patch.dict(globals(), FLAG=False):
        for flag in (False, True, False, True):
            set_global("FLAG", flag)
            pictures.append(picture(model))
    return changed(*pictures)


@case
def random_module():
    model = reading(random.random)
    return (*changed(*(picture(model) for _ in range(3))), random.random())


@case
def numpy_random():
    model = reading(lambda: float(np.random.rand()))
    return (*changed(*(picture(model) for _ in range(3))), float(np.random.rand()))


@case
def clock():
    now = 1.0

    def read():
        return now

    with mock.patch.object(time, "time", read):
        model = reading(lambda: time.time())
        pictures = []
        for now in (1.0, 5.0, 9.0):  # noqa: B007
            pictures.append(picture(model))
        return changed(*pictures)


@case
def thread_local_value():
    here = threading.local()
    here.value = 1.0
    return before_and_after(reading(lambda: here.value), lambda: setattr(here, "value", 5.0))


@case
def thread_local_value_of_another_thread():
    here = threading.local()
    model = reading(lambda: getattr(here, "value", 5.0))
    here.value = 1.0
    pictures = [picture(model)]
    other = threading.Thread(target=lambda: pictures.append(picture(model)))
    other.start()
    other.join()
    return changed(*pictures)


@case
def module_level_cache():
    def read():
        if "strength" not in CACHE:
            CACHE["strength"] = 1.0
        return CACHE["strength"]

    with mock.patch.dict(CACHE, clear=True):
        return before_and_after(reading(read), lambda: CACHE.update(strength=5.0))


@case
def cache_filled_by_a_call():
    """DeepCache and its like: one call keeps features, the next ones use them."""
    kept: dict[str, torch.Tensor] = {}

    def function(h):
        if "h" in kept:
            return h + 3 * kept["h"]
        kept["h"] = h
        return h

    model = applying(function)
    first = picture(model)
    second = picture(model, X * 2)
    kept.clear()
    return (*changed(first, second, picture(model, X * 2)), type(kept["h"]).__name__)


@case
def lru_cache_cleared():
    holder = Holder(value=1.0)

    @functools.lru_cache
    def read():
        return holder.value

    model = reading(read)
    first = picture(model)
    holder.value = 5.0
    second = picture(model)
    read.cache_clear()
    return (first, *changed(second, picture(model)))


@case
def property_of_an_object():
    class Mine:
        _value = 1.0

        @property
        def value(self):
            return self._value

    holder = Mine()
    return before_and_after(reading(lambda: holder.value), lambda: setattr(holder, "_value", 5.0))


@case
def cached_property_deleted():
    class Mine:
        base = 1.0

        @functools.cached_property
        def value(self):
            return self.base

    holder = Mine()

    def change():
        holder.base = 5.0
        del holder.value

    return before_and_after(reading(lambda: holder.value), change)


@case
def attributes_made_up():
    class Mine:
        def __init__(self):
            self.values = {"strength": 1.0}

        def __getattr__(self, name):
            if name == "values":
                raise AttributeError(name)
            return self.values[name]

    holder = Mine()
    return before_and_after(
        reading(lambda: holder.strength), lambda: holder.values.update(strength=5.0)
    )


@case
def mapping_of_the_script():
    class Mine(dict):
        def __getitem__(self, name):
            return super().__getitem__(name) * 2

    values = Mine(strength=1.0)
    return before_and_after(
        reading(lambda: values["strength"]), lambda: values.update(strength=5.0)
    )


@case
def chain_map():
    weak: dict[str, float] = {}
    values = collections.ChainMap(weak, {"strength": 1.0})
    return before_and_after(reading(lambda: values["strength"]), lambda: weak.update(strength=5.0))


@case
def mapping_proxy():
    inner = {"strength": 1.0}
    proxy = types.MappingProxyType(inner)
    return before_and_after(reading(lambda: proxy["strength"]), lambda: inner.update(strength=5.0))


@case
def default_dict():
    values: dict[str, float] = collections.defaultdict(lambda: 1.0)
    model = reading(lambda: values["strength"])
    first = picture(model)
    keys = ",".join(values)
    values["strength"] = 5.0
    return (keys, *changed(first, picture(model)))


@case
def deque_rotated():
    values = collections.deque([1.0, 5.0, 9.0])
    model = reading(lambda: values[0])
    return before_and_after(model, lambda: values.rotate(1), lambda: values.rotate(1))


@case
def order_of_a_dict():
    values = {"a": 1.0, "b": 5.0}
    return before_and_after(
        reading(lambda: next(iter(values.values()))), lambda: values.update(a=values.pop("a"))
    )


@case
def member_of_a_set():
    names: set[str] = set()
    return before_and_after(
        reading(lambda: 5.0 if "strong" in names else 1.0), lambda: names.add("strong")
    )


@case
def text_that_chooses():
    holder = Holder(mode="weak")
    return before_and_after(
        reading(lambda: {"weak": 1.0, "strong": 5.0}[holder.mode]),
        lambda: setattr(holder, "mode", "str" + "ong"),
    )


@case
def none_becomes_a_number():
    holder = Holder(value=None)
    return before_and_after(
        reading(lambda: 1.0 if holder.value is None else holder.value),
        lambda: setattr(holder, "value", 5.0),
    )


@case
def kinds_of_the_same_number():
    """1, 1.0 and True are equal, and give a picture of integers different dtypes."""
    holder = Holder(value=True)
    model = applying(lambda h: (h > 0) * holder.value)
    pictures = [picture(model)]
    for value in (1, 1.0):
        holder.value = value
        pictures.append(picture(model))
    return tuple(pictures)


@case
def minus_zero():
    holder = Holder(value=0.0)
    model = applying(lambda h: 1 / torch.full_like(h, holder.value))
    first = picture(model)
    holder.value = -0.0
    return first, picture(model)


@case
def attribute_of_a_function():
    def read():
        return read.strength

    read.strength = 1.0
    return before_and_after(reading(read), lambda: setattr(read, "strength", 5.0))


@case
def state_behind_a_bound_method():
    class Mine:
        def __init__(self, value):
            self.value = value

        def read(self):
            return self.value

    weak, strong = Mine(1.0), Mine(5.0)
    model = reading(weak.read)
    pictures = [picture(model)]
    model.function = lambda h: h * strong.read()
    pictures.append(picture(model))
    strong.value = 9.0
    pictures.append(picture(model))
    return changed(*pictures)


@case
def element_of_a_numpy_array():
    values = np.array([1.0, 2.0])
    return before_and_after(reading(lambda: float(values[0])), lambda: values.__setitem__(0, 5.0))


@case
def global_tensor_edited():
    strength = torch.tensor(1.0)
    return before_and_after(reading(lambda: strength), lambda: strength.fill_(5.0))


@case
def global_tensor_replaced():
    holder = Holder(value=torch.tensor(1.0))
    return before_and_after(
        reading(lambda: holder.value), lambda: setattr(holder, "value", torch.tensor(5.0))
    )


@case
def tensor_replaced_by_one_of_another_shape():
    holder = Holder(value=torch.ones(()))
    return before_and_after(
        reading(lambda: holder.value),
        lambda: setattr(holder, "value", torch.full((1, 4, 1, 1), 5.0)),
        lambda: setattr(holder, "value", torch.full((4,), 9.0, dtype=torch.float64)),
    )


@case
def tensor_in_a_list_in_a_dict():
    values = {"weights": [torch.ones(4)]}
    return before_and_after(
        reading(lambda: values["weights"][0]),
        lambda: values["weights"][0].mul_(5),
        lambda: values["weights"].__setitem__(0, torch.full((4,), 9.0)),
    )


@case
def tensor_read_as_a_number():
    strength = torch.tensor(1.0)
    return before_and_after(reading(strength.item), lambda: strength.fill_(5.0))


@case
def file_read_in_forward():
    path = Path(tempfile.mkdtemp(), "strength.txt")
    path.write_text("1.0")
    return before_and_after(
        reading(lambda: float(path.read_text())), lambda: path.write_text("5.0")
    )


@case
def object_that_changes_its_class():
    class Weak:
        def read(self):
            return 1.0

    class Strong:
        def read(self):
            return 5.0

    holder = Weak()
    return before_and_after(
        reading(lambda: holder.read()), lambda: setattr(holder, "__class__", Strong)
    )


@case
def same_memory_for_another_object():
    """Objects that die give their address to the next ones: an id says nothing."""
    model = small()
    real = type(model.attn).forward

    def make(weight):
        return lambda *args, **kwargs: weight * real(model.attn, *args, **kwargs)

    pictures = []
    for weight in (0.0, 5.0, 20.0, 50.0):
        model.attn.forward = make(weight)
        pictures.append(picture(model))
    return changed(*pictures)
