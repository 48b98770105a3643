"""Tensors that a forward reads get another size, dtype or layout, or the wish for gradients.

Under a dict that did not change, guards of tensors may be passed over.
"""

from __future__ import annotations

from typing import Any

import torch

from tests.scripts.models import X, applying, before_and_after, picture, small
from tests.scripts.registry import case


class Holder:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def with_buffer(buffer, function):
    model = applying(lambda h: h)
    model.register_buffer("kept", buffer)
    model.function = lambda h: function(h, model.kept)
    return model


def five_if(ask):
    return applying(lambda h: h * (5.0 if ask() else 1.0))


@case
def size_of_one_in_a_dict():
    table = {"kept": torch.ones(1)}
    return before_and_after(
        applying(lambda h: h * table["kept"].numel()),
        lambda: setattr(table["kept"], "data", torch.ones(5)),
    )


@case
def size_of_one_in_an_object():
    holder = Holder(kept=torch.ones(1))
    return before_and_after(
        applying(lambda h: h * holder.kept.numel()),
        lambda: setattr(holder.kept, "data", torch.ones(5)),
        lambda: holder.kept.resize_(9),
    )


@case
def dtype():
    holder = Holder(kept=torch.full((1,), 2.5))
    rounded = torch.full((1,), 2.0, dtype=torch.bfloat16)
    return before_and_after(
        applying(lambda h: h * (holder.kept + 0.1)), lambda: setattr(holder.kept, "data", rounded)
    )


@case
def size_of_a_buffer():
    model = with_buffer(torch.ones(1), lambda h, kept: h * kept.sum())
    return before_and_after(
        model,
        lambda: setattr(model.kept, "data", torch.ones(5)),
        lambda: setattr(model.kept, "data", torch.ones(2, 4).t()),
    )


@case
def layout_of_a_buffer():
    numbers = torch.arange(4.0).reshape(1, 2, 2)
    model = with_buffer(numbers.clone(), lambda h, kept: h[..., :2, :2] * kept)
    return before_and_after(
        model,
        lambda: setattr(model.kept, "data", model.kept.data.transpose(1, 2)),
        lambda: setattr(model.kept, "data", numbers.clone().expand(4, 2, 2)),
    )


@case
def layout_of_weights():
    model = small()
    linear, convolution = model.attn.to_q.weight, model.conv_in.weight
    return before_and_after(
        model,
        lambda: setattr(linear, "data", linear.data.t()),
        lambda: setattr(convolution, "data", convolution.data.transpose(2, 3)),
        lambda: setattr(convolution, "data", convolution.data * 3),
        lambda: convolution.data.mul_(2),
    )


@case
def size_of_weights():
    model = applying(lambda h: h)
    pictures = [picture(model) for _ in range(3)]
    model.conv.weight.data, model.conv.bias.data = torch.ones(8, 4, 1, 1), torch.ones(8)
    return pictures, picture(model)


@case
def one_in_a_list():
    numbers = [torch.nn.Parameter(torch.ones(2, 2))]
    other = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    return before_and_after(
        applying(lambda h: h[..., :2, :2] * numbers[0]),
        lambda: setattr(numbers[0], "data", other),
        lambda: setattr(numbers[0], "data", other.t()),
    )


@case
def gradients_wanted_later():
    model = applying(lambda h: h)
    model.requires_grad_(False)
    pictures = [picture(model) for _ in range(3)]
    model.conv.weight.requires_grad_(True)
    with torch.enable_grad():
        result = model(X)
    return pictures, result.detach(), result.requires_grad


@case
def whether_gradients_are_wanted():
    holder = Holder(kept=torch.ones(1))
    return before_and_after(
        five_if(lambda: holder.kept.requires_grad), lambda: holder.kept.requires_grad_(True)
    )


@case
def whether_it_is_contiguous():
    holder = Holder(kept=torch.ones(2, 3))
    return before_and_after(
        five_if(lambda: holder.kept.is_contiguous()),
        lambda: setattr(holder.kept, "data", torch.ones(3, 2).t()),
    )
