"""A forward asks whether two things are one, or which of them is in a collection.

Also attributes of objects that are numbers, texts or collections themselves.
"""

from __future__ import annotations

import collections
import enum
import operator
from typing import Any

import torch

from tests.scripts.models import applying, before_and_after, changed, picture, reading, small
from tests.scripts.registry import case


class Holder:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def five_if(ask):
    return reading(lambda: 5.0 if ask() else 1.0)


@case(compiled=True)
def two_objects_become_one():
    one, other = Holder(), Holder()
    holder = Holder(one=one, other=other)
    return before_and_after(
        five_if(lambda: holder.one is holder.other), lambda: setattr(holder, "other", one)
    )


@case
def two_lists_become_one():
    one, other = [1.0], [1.0]
    holder = Holder(one=one, other=other)
    return before_and_after(
        five_if(lambda: holder.one is holder.other), lambda: setattr(holder, "other", one)
    )


@case
def one_list_becomes_two():
    one = [1]
    holder = Holder(one=one, other=one)
    return before_and_after(
        five_if(lambda: holder.one is holder.other), lambda: setattr(holder, "one", [1])
    )


@case
def two_layers_become_one():
    model = applying(lambda h: h)
    model.first, model.second = torch.nn.Conv2d(4, 4, 1), torch.nn.Conv2d(4, 4, 1)
    model.function = lambda h: h * (5.0 if model.first is model.second else 1.0)
    return before_and_after(model, lambda: setattr(model, "second", model.first))


@case
def two_functions_become_one():
    def other():
        return 2

    holder = Holder(one=lambda: 1, other=other)
    return before_and_after(
        five_if(lambda: holder.one is holder.other), lambda: setattr(holder, "one", other)
    )


@case
def classes_of_two_objects():
    class One: ...

    class Other: ...

    holder = Holder(one=One(), other=Other())
    return before_and_after(
        five_if(lambda: type(holder.one) is type(holder.other)),
        lambda: setattr(holder, "one", Other()),
    )


@case
def asked_by_an_operator():
    holder = Holder(one=Holder(), other=Holder())
    return before_and_after(
        five_if(lambda: operator.is_(holder.one, holder.other)),
        lambda: setattr(holder, "one", holder.other),
    )


@case
def asked_by_numbers_of_objects():
    holder = Holder(one=Holder(), other=Holder())
    return before_and_after(
        five_if(lambda: id(holder.one) == id(holder.other)),
        lambda: setattr(holder, "one", holder.other),
    )


@case
def object_in_a_list():
    one, other = Holder(), Holder()
    holder = Holder(other=other, chosen=[one])
    return before_and_after(
        five_if(lambda: holder.other in holder.chosen),
        lambda: holder.chosen.__setitem__(0, other),
    )


@case
def object_in_a_set():
    one, other = Holder(), Holder()
    chosen, holder = {one}, Holder(other=other)
    return before_and_after(
        five_if(lambda: holder.other in chosen),
        lambda: chosen.add(other),
        lambda: chosen.discard(other),
    )


@case
def object_as_a_key():
    one, other = Holder(), Holder()
    table, holder = {one: 1.0, other: 5.0}, Holder(key=one)
    return before_and_after(
        reading(lambda: table[holder.key]), lambda: setattr(holder, "key", other)
    )


@case
def layer_as_a_key():
    model, other = applying(lambda h: h), torch.nn.Conv2d(4, 4, 1)
    scales = {model.conv: 1.0, other: 5.0}
    model.chosen = model.conv
    model.function = lambda h: h * scales[model.chosen]
    return before_and_after(model, lambda: setattr(model, "chosen", other))


@case
def place_in_a_list():
    one, other = Holder(), Holder()
    holder = Holder(items=[one, other], chosen=one)
    return before_and_after(
        reading(lambda: 1.0 + 4 * holder.items.index(holder.chosen)),
        lambda: setattr(holder, "chosen", other),
    )


@case
def order_that_the_script_defines():
    class Ranked:
        def __init__(self, rank):
            self.rank = rank

        def __lt__(self, other):
            return self.rank < other.rank

    one, other = Ranked(1), Ranked(2)
    return before_and_after(
        reading(lambda: float(min(one, other).rank)), lambda: setattr(one, "rank", 5)
    )


@case
def object_replaced_by_one_that_is_equal():
    class Equal:
        def __init__(self, scale):
            self.scale = scale

        def __eq__(self, other):
            return True

        __hash__ = object.__hash__

    holder = Holder(thing=Equal(1.0))
    return before_and_after(
        reading(lambda: holder.thing.scale), lambda: setattr(holder, "thing", Equal(5.0))
    )


@case
def list_that_is_appended_to_by_its_other_name():
    holder = Holder(one=[1.0], other=[1.0])

    def apply(h):
        holder.one.append(2.0)
        length = len(holder.other)
        holder.one.pop()
        return h * length

    return before_and_after(applying(apply), lambda: setattr(holder, "other", holder.one))


@case
def class_in_a_cell():
    class Weak:
        scale = 1.0

    class Strong:
        scale = 5.0

    chosen = Weak
    model = reading(lambda: chosen.scale)
    first = picture(model)
    chosen = Strong
    second = picture(model)
    Strong.scale = 7.0
    return changed(first, second, picture(model))


@case(compiled=True)
def class_with_a_metaclass():
    class Meta(type):
        scale = 1.0

    class Weak(metaclass=Meta): ...

    class Strong:
        scale = 9.0

    chosen = Weak
    model = reading(lambda: chosen.scale)
    first = picture(model)
    Meta.scale = 5.0
    second = picture(model)
    chosen = Strong
    return changed(first, second, picture(model))


@case
def attribute_of_a_member_of_an_enum():
    class Kind(enum.Enum):
        weak = 1
        strong = 2

    Kind.weak.scale = 1.0
    return before_and_after(
        reading(lambda: Kind.weak.scale), lambda: setattr(Kind.weak, "scale", 5.0)
    )


@case
def attribute_of_a_dict():
    class Scales(dict):
        scale = 1.0

    scales = Scales(a=1)
    return before_and_after(
        reading(lambda: scales.scale * len(scales)),
        lambda: setattr(scales, "scale", 5.0),
        lambda: (delattr(scales, "scale"), setattr(Scales, "scale", 9.0)),
    )


@case
def attribute_of_an_empty_dict():
    class Scales(dict): ...

    scales = Scales()
    scales.scale = 1.0
    return before_and_after(
        reading(lambda: scales.scale + len(scales)),
        lambda: setattr(scales, "scale", 5.0),
        lambda: scales.update(a=1),
        lambda: (scales.clear(), setattr(scales, "scale", 9.0)),
    )


@case
def attribute_of_an_ordered_dict():
    class Scales(collections.OrderedDict):
        def __init__(self, *items, **words):
            super().__init__(*items, **words)
            self.scale = 1.0

    scales = Scales(a=1)
    return before_and_after(
        reading(lambda: scales.scale * scales["a"]), lambda: setattr(scales, "scale", 5.0)
    )


@case
def attribute_of_a_list():
    class Scales(list): ...

    scales = Scales([1])
    scales.scale = 1.0
    return before_and_after(
        reading(lambda: scales.scale * len(scales)), lambda: setattr(scales, "scale", 5.0)
    )


@case
def attribute_of_a_tuple():
    class Scales(tuple): ...

    scales = Scales([1])
    scales.scale = 1.0
    return before_and_after(
        reading(lambda: scales.scale * len(scales)), lambda: setattr(scales, "scale", 5.0)
    )


@case
def attribute_of_a_text():
    class Word(str): ...

    word = Word("a")
    word.scale = 1.0
    return before_and_after(
        reading(lambda: word.scale * len(word)), lambda: setattr(word, "scale", 5.0)
    )


@case
def attribute_of_a_number():
    class Number(float): ...

    number = Number(1.0)
    number.scale = 1.0
    return before_and_after(
        reading(lambda: number.scale * number), lambda: setattr(number, "scale", 5.0)
    )


@case
def attribute_of_a_configuration():
    model = small()
    return before_and_after(
        model,
        lambda: object.__setattr__(model.config, "gain", 5.0),
        lambda: vars(model.config).update(gain=9.0),
    )


@case
def list_in_a_configuration():
    model = applying(lambda h: h)
    model.register_to_config(scales=([1.0], 2.0))
    model.function = lambda h: h * model.config["scales"][0][0]
    return before_and_after(model, lambda: model.config["scales"][0].__setitem__(0, 5.0))


@case(compiled=True)
def list_in_a_tuple_of_the_model():
    model = applying(lambda h: h)
    model.scales = ([1.0], 2)
    model.function = lambda h: h * model.scales[0][0]
    return before_and_after(model, lambda: model.scales[0].__setitem__(0, 5.0))


@case
def set_in_a_tuple_of_the_model():
    model = applying(lambda h: h)
    model.names = ({"a"}, 1)
    model.function = lambda h: h * (5.0 if "b" in model.names[0] else 1.0)
    return before_and_after(model, lambda: model.names[0].add("b"))


@case
def dict_in_a_dict_of_the_model():
    model = applying(lambda h: h)
    model.scales = {"a": {"b": 1.0}}
    model.function = lambda h: h * model.scales["a"]["b"]
    return before_and_after(model, lambda: model.scales["a"].update(b=5.0))


@case
def list_in_a_tuple_in_a_list_in_a_dict():
    scales = {"x": [1.0, (2.0, [3.0])]}
    return before_and_after(
        reading(lambda: scales["x"][1][1][0]), lambda: scales["x"][1][1].__setitem__(0, 5.0)
    )
