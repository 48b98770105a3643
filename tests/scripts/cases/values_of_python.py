"""Values that a forward reads from Python's rarer objects: they change between two calls."""

from __future__ import annotations

import abc
import array
import collections
import ctypes
import datetime
import decimal
import fractions
import functools
import io
import itertools
import json
import logging
import multiprocessing
import operator
import queue
import re
import sqlite3
import string
import sys
import tempfile
import threading
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.scripts.models import X, applying, before_and_after, changed, picture, reading, small
from tests.scripts.registry import case


class Holder:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


@case
def number_of_c():
    number = ctypes.c_float(1.0)
    return before_and_after(reading(lambda: number.value), lambda: setattr(number, "value", 5.0))


@case
def structure_of_c():
    class Settings(ctypes.Structure):
        _fields_ = [("scale", ctypes.c_double)]

    settings = Settings(1.0)
    return before_and_after(
        reading(lambda: settings.scale), lambda: setattr(settings, "scale", 5.0)
    )


@case
def array_of_python():
    values = array.array("d", [1.0])
    return before_and_after(reading(lambda: values[0]), lambda: values.__setitem__(0, 5.0))


@case
def bytes_that_change():
    values = bytearray([1])
    return before_and_after(reading(lambda: values[0]), lambda: values.__setitem__(0, 5))


@case
def view_of_memory():
    values = bytearray([1])
    view = memoryview(values)
    return before_and_after(reading(lambda: view[0]), lambda: values.__setitem__(0, 5))


@case
def value_of_multiprocessing():
    value = multiprocessing.Value("d", 1.0)
    return before_and_after(reading(lambda: value.value), lambda: setattr(value, "value", 5.0))


@case
def event_of_threading():
    event = threading.Event()
    return before_and_after(reading(lambda: 5.0 if event.is_set() else 1.0), event.set, event.clear)


@case
def lock_that_is_held():
    lock = threading.Lock()
    return before_and_after(reading(lambda: 5.0 if lock.locked() else 1.0), lock.acquire)


@case
def queue_that_empties():
    waiting = queue.Queue()
    for value in (1.0, 5.0, 9.0):
        waiting.put(value)
    model = reading(waiting.get_nowait)
    return changed(*(picture(model) for _ in range(3)))


@case
def size_of_a_queue():
    waiting = queue.Queue()
    return before_and_after(reading(lambda: 1.0 + waiting.qsize()), lambda: waiting.put(0))


@case
def fraction_replaced():
    holder = Holder(value=fractions.Fraction(1, 2))
    return before_and_after(
        reading(lambda: float(holder.value)),
        lambda: setattr(holder, "value", fractions.Fraction(7, 2)),
    )


@case
def decimal_replaced():
    holder = Holder(value=decimal.Decimal("0.5"))
    return before_and_after(
        reading(lambda: float(holder.value)),
        lambda: setattr(holder, "value", decimal.Decimal("3.5")),
    )


@case
def precision_of_decimals():
    model = reading(lambda: float(decimal.Decimal(1) / decimal.Decimal(3)))
    with decimal.localcontext() as context:
        context.prec = 10
        first = picture(model)
        context.prec = 1
        second = picture(model)
    return changed(first, second)


@case
def date_replaced():
    holder = Holder(day=datetime.date(2026, 1, 1))
    return before_and_after(
        reading(lambda: float(holder.day.day)),
        lambda: setattr(holder, "day", datetime.date(2026, 1, 5)),
    )


@case
def path_that_appears():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "on")
        return before_and_after(reading(lambda: 5.0 if path.exists() else 1.0), path.touch)


@case
def text_in_a_buffer():
    buffer = io.StringIO("1.0")
    return before_and_after(
        reading(lambda: float(buffer.getvalue())), lambda: (buffer.seek(0), buffer.write("5.0"))
    )


@case
def table_of_a_database():
    base = sqlite3.connect(":memory:")
    base.execute("create table settings (scale real)")
    base.execute("insert into settings values (1.0)")
    return before_and_after(
        reading(lambda: base.execute("select scale from settings").fetchone()[0]),
        lambda: base.execute("update settings set scale = 5.0"),
    )


@case
def pattern_replaced():
    holder = Holder(pattern=re.compile("a"))
    return before_and_after(
        reading(lambda: 1.0 + 4 * len(holder.pattern.findall("abbb"))),
        lambda: setattr(holder, "pattern", re.compile("b")),
    )


@case
def text_of_json():
    holder = Holder(text='{"scale": 1.0}')
    return before_and_after(
        reading(lambda: json.loads(holder.text)["scale"]),
        lambda: setattr(holder, "text", '{"scale": 5.0}'),
    )


@case
def template_of_strings():
    words = {"scale": "1.0"}
    template = string.Template("$scale")
    return before_and_after(
        reading(lambda: float(template.substitute(words))), lambda: words.update(scale="5.0")
    )


@case
def level_of_a_logger():
    logger = logging.getLogger("a script's own")
    logger.setLevel(logging.INFO)
    return before_and_after(
        reading(lambda: 5.0 if logger.isEnabledFor(logging.DEBUG) else 1.0),
        lambda: logger.setLevel(logging.DEBUG),
    )


@case
def counter_of_collections():
    counts = collections.Counter(a=1)
    return before_and_after(reading(lambda: float(counts["a"])), lambda: counts.update("aaaa"))


@case
def user_dict():
    values = collections.UserDict(scale=1.0)
    return before_and_after(
        reading(lambda: values["scale"]), lambda: values.__setitem__("scale", 5.0)
    )


@case
def user_list():
    values = collections.UserList([1.0])
    return before_and_after(reading(lambda: sum(values)), lambda: values.append(5.0))


@case
def weak_set():
    a, b = Holder(scale=1.0), Holder(scale=4.0)
    values = weakref.WeakSet([a, b])
    model = reading(lambda: sum(each.scale for each in values))
    first = picture(model)
    del b
    return changed(first, picture(model))


@case
def weak_dictionary():
    a, b = Holder(scale=1.0), Holder(scale=4.0)
    values = weakref.WeakValueDictionary(a=a, b=b)
    model = reading(lambda: values["b"].scale if "b" in values else 1.0)
    first = picture(model)
    del b
    return changed(first, picture(model))


@case
def weak_keys():
    module = small()
    scales = weakref.WeakKeyDictionary({module: 1.0})
    return before_and_after(
        reading(lambda: scales[module]), lambda: scales.__setitem__(module, 5.0)
    )


@case
def class_registered_as_another():
    class Strong(abc.ABC): ...  # noqa: B024

    class Plain: ...

    thing = Plain()
    return before_and_after(
        reading(lambda: 5.0 if isinstance(thing, Strong) else 1.0),
        lambda: Strong.register(Plain),
    )


@case
def instance_check_of_a_metaclass():
    class Meta(type):
        strong = False

        def __instancecheck__(cls, thing):
            return Meta.strong

    class Strong(metaclass=Meta): ...

    thing = Holder()
    return before_and_after(
        reading(lambda: 5.0 if isinstance(thing, Strong) else 1.0),
        lambda: setattr(Meta, "strong", True),
    )


@case
def property_of_a_metaclass():
    class Meta(type):
        @property
        def scale(cls):
            return cls.value

    class Settings(metaclass=Meta):
        value = 1.0

    return before_and_after(
        reading(lambda: Settings.scale), lambda: setattr(Settings, "value", 5.0)
    )


@case
def single_dispatch():
    @functools.singledispatch
    def scale(thing):
        return 1.0

    thing = Holder()
    return before_and_after(
        reading(lambda: scale(thing)), lambda: scale.register(Holder, lambda thing: 5.0)
    )


@case
def single_dispatch_method():
    class Scales:
        @functools.singledispatchmethod
        def of(self, thing):
            return 1.0

    scales, thing = Scales(), Holder()

    def register():
        Scales.__dict__["of"].register(Holder, lambda self, thing: 5.0)

    return before_and_after(reading(lambda: scales.of(thing)), register)


@case
def truth_of_an_object():
    class Switch:
        on = False

        def __bool__(self):
            return self.on

    switch = Switch()
    return before_and_after(
        reading(lambda: 5.0 if switch else 1.0), lambda: setattr(switch, "on", True)
    )


@case
def length_of_an_object():
    class Sized:
        length = 1

        def __len__(self):
            return self.length

    sized = Sized()
    return before_and_after(reading(lambda: float(len(sized))), lambda: setattr(sized, "length", 5))


@case
def equality_of_objects():
    class Same:
        def __init__(self, value):
            self.value = value

        def __eq__(self, other):
            return self.value == other.value

        __hash__ = None

    one, other = Same(1), Same(2)
    return before_and_after(
        reading(lambda: 5.0 if one == other else 1.0), lambda: setattr(other, "value", 1)
    )


@case
def missing_key_of_a_dict():
    class Scales(dict):
        default = 1.0

        def __missing__(self, key):
            return self.default

    scales = Scales()
    return before_and_after(
        reading(lambda: scales["any"]),
        lambda: setattr(scales, "default", 5.0),
        lambda: scales.update(any=9.0),
    )


@case
def descriptor_of_the_script():
    class Scale:
        value = 1.0

        def __get__(self, instance, owner):
            return self.value

    class Settings:
        scale = Scale()

    settings = Settings()
    return before_and_after(
        reading(lambda: settings.scale),
        lambda: setattr(Settings.__dict__["scale"], "value", 5.0),
    )


@case
def iteration_over_an_object():
    class Scales:
        values = (1.0,)

        def __iter__(self):
            return iter(self.values)

    scales = Scales()
    return before_and_after(
        reading(lambda: sum(scales)), lambda: setattr(scales, "values", (1.0, 4.0))
    )


@case
def indexing_by_an_object():
    class At:
        place = 0

        def __index__(self):
            return self.place

    at = At()
    return before_and_after(reading(lambda: [1.0, 5.0][at]), lambda: setattr(at, "place", 1))


@case
def call_of_an_object():
    class Scale:
        value = 1.0

        def __call__(self):
            return self.value

    scale = Scale()
    return before_and_after(reading(scale), lambda: setattr(scale, "value", 5.0))


@case
def context_manager_with_a_state():
    class Scale:
        value = 1.0

        def __enter__(self):
            return self.value

        def __exit__(self, *error):
            self.value += 4

    scale = Scale()

    def apply(h):
        with scale as value:
            return h * value

    model = applying(apply)
    return changed(*(picture(model) for _ in range(3)))


@case
def pattern_matching():
    holder = Holder(kind={"scale": 1.0})

    def apply(h):
        match holder.kind:
            case {"scale": scale}:
                return h * scale
            case [first, *_]:
                return h * first
            case _:
                return h * 9

    return before_and_after(
        applying(apply),
        lambda: setattr(holder, "kind", [5.0, 1]),
        lambda: setattr(holder, "kind", None),
    )


@case
def count_of_itertools():
    numbers = itertools.count(1)
    model = reading(lambda: float(next(numbers)))
    return changed(*(picture(model) for _ in range(3)))


@case
def generator_of_the_script():
    def scales():
        value = 1.0
        while True:
            sent = yield value
            value = sent if sent is not None else value + 3

    running = scales()
    model = reading(lambda: next(running))
    first = [picture(model) for _ in range(3)]
    running.send(20.0)
    return changed(*first, picture(model))


@case
def frame_of_the_caller():
    def scale():
        return sys._getframe(1).f_code.co_name

    def short(h):
        return h * len(scale())

    def a_long_name(h):
        return h * len(scale())

    model = applying(short)
    return before_and_after(model, lambda: setattr(model, "function", a_long_name))


@case
def local_of_a_frame_above():
    def scale():
        frame = sys._getframe()
        while frame is not None and "strength_of_this_call" not in frame.f_locals:
            frame = frame.f_back
        return frame.f_locals["strength_of_this_call"] if frame is not None else 1.0

    model = reading(scale)
    first = picture(model)

    def strong():
        strength_of_this_call = 5.0  # noqa: F841
        return picture(model)

    return changed(first, strong())


@case
def reference_count():
    things = [object()]
    keep = []
    model = reading(lambda: float(sys.getrefcount(things[0])))
    first = picture(model)
    keep += [things[0]] * 5
    return picture(model) - first


@case
def hash_of_an_object():
    class Hashed:
        value = 1

        def __hash__(self):
            return self.value

    hashed = Hashed()
    return before_and_after(
        reading(lambda: float(hash(hashed))), lambda: setattr(hashed, "value", 5)
    )


@case
def words_of_an_object():
    class Spoken:
        word = "a"

        def __repr__(self):
            return self.word

    spoken = Spoken()
    return before_and_after(
        reading(lambda: float(len(f"{spoken}"))), lambda: setattr(spoken, "word", "aaaaa")
    )


@case
def function_built_by_eval():
    words = {"scale": "1.0"}
    return before_and_after(
        reading(lambda: eval(words["scale"])), lambda: words.update(scale="5.0")
    )


@case
def module_made_by_the_script():
    module = types.ModuleType("settings_of_the_script")
    module.scale = 1.0
    sys.modules[module.__name__] = module
    try:

        def read():
            import settings_of_the_script

            return settings_of_the_script.scale

        model = reading(read)
        first = picture(model)
        module.scale = 5.0
        second = picture(model)
        other = types.ModuleType(module.__name__)
        other.scale = 9.0
        sys.modules[module.__name__] = other
        return changed(first, second, picture(model))
    finally:
        del sys.modules[module.__name__]


@case
def attribute_of_builtins():
    import builtins

    builtins.strength_for_all = 1.0
    try:
        return before_and_after(
            reading(lambda: strength_for_all),  # noqa: F821
            lambda: setattr(builtins, "strength_for_all", 5.0),
        )
    finally:
        del builtins.strength_for_all


@case
def builtin_that_is_shadowed():
    namespace = {"values": [1.0, 2.0]}
    exec("def read(): return float(len(values))", namespace)
    return before_and_after(
        reading(namespace["read"]), lambda: namespace.update(len=lambda values: 9.0)
    )


@case
def default_factory_of_a_dict():
    scales = collections.defaultdict(lambda: 1.0)

    def set_factory():
        scales.clear()
        scales.default_factory = lambda: 5.0

    return before_and_after(reading(lambda: scales["any"]), set_factory)


@case
def attribute_getter():
    holder = Holder(value=1.0, other=5.0)
    holder.get = operator.attrgetter("value")
    return before_and_after(
        reading(lambda: holder.get(holder)),
        lambda: setattr(holder, "get", operator.attrgetter("other")),
    )


@case
def item_getter():
    holder = Holder(values=[1.0, 5.0], get=operator.itemgetter(0))
    return before_and_after(
        reading(lambda: holder.get(holder.values)),
        lambda: setattr(holder, "get", operator.itemgetter(1)),
    )


@case
def caller_of_a_method():
    class Scales:
        def weak(self):
            return 1.0

        def strong(self):
            return 5.0

    holder = Holder(call=operator.methodcaller("weak"), scales=Scales())
    return before_and_after(
        reading(lambda: holder.call(holder.scales)),
        lambda: setattr(holder, "call", operator.methodcaller("strong")),
    )


@case
def array_of_numpy_replaced():
    holder = Holder(scale=np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32).reshape(1, 4, 1, 1))
    return before_and_after(
        applying(lambda h: h * torch.from_numpy(holder.scale)),
        lambda: setattr(holder, "scale", holder.scale * 5),
        lambda: holder.scale.__imul__(7),
    )


@case
def record_array_of_numpy():
    table = np.zeros(1, dtype=[("scale", "f4")]).view(np.recarray)
    table.scale[0] = 1
    return before_and_after(
        reading(lambda: float(table.scale[0])), lambda: table.scale.__setitem__(0, 5)
    )


@case
def size_of_a_tensor_of_the_script():
    holder = Holder(tensor=torch.zeros(1))
    return before_and_after(
        reading(lambda: float(holder.tensor.numel())),
        lambda: setattr(holder, "tensor", torch.zeros(5)),
        lambda: holder.tensor.resize_(9),
    )


@case
def attribute_of_a_tensor():
    tensor = torch.zeros(1)
    tensor.scale = 1.0
    return before_and_after(reading(lambda: tensor.scale), lambda: setattr(tensor, "scale", 5.0))


@case
def attribute_of_the_input():
    model = applying(lambda h: h)
    model.forward = lambda x: model.conv(x) * getattr(x, "scale", 1.0)
    x = X.clone()
    first = picture(model, x)
    x.scale = 5.0
    return changed(first, picture(model, x))


@case
def attribute_of_a_parameter():
    model = applying(lambda h: h)
    model.function = lambda h: h * getattr(model.conv.weight, "scale", 1.0)
    return before_and_after(model, lambda: setattr(model.conv.weight, "scale", 5.0))


@case
def name_of_a_dtype():
    holder = Holder(dtype=torch.float32)
    return before_and_after(
        applying(lambda h: (h * 1.001).to(holder.dtype).float()),
        lambda: setattr(holder, "dtype", torch.int32),
    )


@case
def slice_of_the_script():
    holder = Holder(at=slice(0, 2))

    def apply(h):
        h = h.clone()
        h[:, holder.at] *= 5
        return h

    return before_and_after(applying(apply), lambda: setattr(holder, "at", slice(2, 4)))


@case
def ellipsis_and_nothing():
    holder = Holder(at=(..., None))
    model = applying(lambda h: h[holder.at].flatten(2).sum(-1)[..., None, None] + h)
    return before_and_after(model, lambda: setattr(holder, "at", (..., 0)))


@case
def range_of_the_script():
    holder = Holder(steps=range(1))

    def apply(h):
        for _ in holder.steps:
            h = h * 2
        return h

    return before_and_after(
        applying(apply),
        lambda: setattr(holder, "steps", range(3)),
        lambda: setattr(holder, "steps", range(0, 3, 2)),
    )


@case
def complex_number():
    holder = Holder(scale=1 + 2j)
    return before_and_after(
        reading(lambda: abs(holder.scale)), lambda: setattr(holder, "scale", 3 + 4j)
    )


@case
def infinity_and_nan():
    holder = Holder(scale=float("nan"))
    model = applying(lambda h: torch.nan_to_num(h * holder.scale, nan=3.0, posinf=5.0, neginf=-5.0))
    return before_and_after(
        model,
        lambda: setattr(holder, "scale", float("inf")),
        lambda: setattr(holder, "scale", float("-inf")),
    )


@case
def large_whole_number():
    holder = Holder(scale=2**70)
    return before_and_after(
        reading(lambda: holder.scale / 2**70), lambda: setattr(holder, "scale", 5 * 2**70)
    )


@case
def frozen_set():
    holder = Holder(names=frozenset({"a"}))
    return before_and_after(
        reading(lambda: 5.0 if "b" in holder.names else 1.0),
        lambda: setattr(holder, "names", frozenset({"a", "b"})),
    )


@case
def tuple_with_a_list_inside():
    values = ([1.0], 2)
    return before_and_after(reading(lambda: sum(values[0])), lambda: values[0].append(4.0))


@case
def view_of_the_keys():
    values = {"a": 1.0}
    keys = values.keys()
    return before_and_after(reading(lambda: float(len(keys))), lambda: values.update(b=1, c=2))


@case
def items_of_a_dict():
    values = {"a": 1.0}
    items = values.items()
    return before_and_after(
        reading(lambda: sum(value for _, value in items)), lambda: values.update(a=5.0)
    )


@case
def name_of_the_thread():
    model = reading(lambda: float(len(threading.current_thread().name)))
    first = picture(model)
    before, threading.current_thread().name = threading.current_thread().name, "a" * 40
    try:
        return changed(first, picture(model))
    finally:
        threading.current_thread().name = before


@case
def functional_of_the_script_in_a_table():
    table = {"act": F.silu}
    return before_and_after(applying(lambda h: table["act"](h)), lambda: table.update(act=F.gelu))


@case
def activation_by_name():
    holder = Holder(name="silu")
    return before_and_after(
        applying(lambda h: getattr(F, holder.name)(h)), lambda: setattr(holder, "name", "relu")
    )


@case
def training_flag_of_a_part():
    model = applying(lambda h: h)
    model.function = lambda h: h * (5.0 if model.conv.training else 1.0)
    return before_and_after(model, lambda: model.conv.train())


@case
def arguments_of_the_command():
    before = list(sys.argv)
    try:
        sys.argv = ["script", "1.0"]
        return before_and_after(
            reading(lambda: float(sys.argv[1])), lambda: sys.argv.__setitem__(1, "5.0")
        )
    finally:
        sys.argv = before


@case
def limit_of_recursion():
    before = sys.getrecursionlimit()
    try:
        return before_and_after(
            reading(lambda: float(sys.getrecursionlimit())),
            lambda: sys.setrecursionlimit(before + 5000),
        )
    finally:
        sys.setrecursionlimit(before)
