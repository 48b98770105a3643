"""Weights and layers that a script writes past the usual ways."""

from __future__ import annotations

import copy
import ctypes

import torch

from tests.scripts.models import X, applying, before_and_after, changed, picture, small
from tests.scripts.registry import case


@case
def written_into_parameters():
    model = applying(lambda h: h)
    table = model.conv._parameters
    return before_and_after(
        model,
        lambda: table.update(bias=None),
        lambda: table.update(weight=torch.nn.Parameter(model.conv.weight * 3)),
    )


@case
def written_into_modules():
    model = applying(lambda h: h)
    return before_and_after(
        model,
        lambda: model._modules.update(conv=torch.nn.Conv2d(4, 4, 1)),
        lambda: model._modules.update(conv=torch.nn.Identity()),
    )


@case
def written_into_buffers():
    model = applying(lambda h: h)
    model.register_buffer("scale", torch.ones(1))
    model.function = lambda h: h * model.scale
    return before_and_after(
        model,
        lambda: model._buffers.update(scale=torch.full((1,), 5.0)),
        lambda: model._buffers.update(scale=torch.full((4, 1, 1), 3.0)),
    )


@case
def parameter_becomes_a_plain_tensor():
    model = applying(lambda h: h)

    def exchange():
        weight = model.conv.weight.detach() * 3
        del model.conv.weight
        model.conv.weight = weight

    return before_and_after(model, exchange, lambda: model.conv.weight.mul_(2))


@case
def set_to_another_tensor():
    model = applying(lambda h: h)
    weight = model.conv.weight
    return before_and_after(model, lambda: weight.set_(torch.ones_like(weight)))


@case
def written_by_pointer():
    model = small()
    weight = model.conv_in.weight

    def write():
        new = (weight * 3).contiguous()
        ctypes.memmove(weight.data_ptr(), new.data_ptr(), new.numel() * new.element_size())

    return before_and_after(model, write)


@case
def written_through_dlpack():
    model = small()
    alias = torch.from_dlpack(model.conv_in.weight.detach())
    return before_and_after(model, lambda: alias.mul_(3))


@case
def written_through_the_storage():
    model = small()
    weight = model.conv_in.weight.detach()
    return before_and_after(
        model,
        lambda: weight.untyped_storage().copy_((weight * 3).contiguous().untyped_storage()),
    )


@case(compiled=True)
def swapped():
    """`swap_tensors` refuses a tensor to which somebody holds a weak reference."""
    model = small()
    other = torch.nn.Parameter(model.conv_in.weight.detach() * 3)
    return before_and_after(model, lambda: torch.utils.swap_tensors(model.conv_in.weight, other))


@case
def swapped_by_conversions():
    model = small()
    before = torch.__future__.get_swap_module_params_on_conversion()
    first = picture(model)
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        second = picture(model.double(), X.double())
        third = picture(model.float())
        with torch.no_grad():
            model.conv_in.weight.mul_(3)
        return first, second, third, picture(model)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


@case
def data_becomes_a_turned_view():
    model = applying(lambda h: h)
    weight = model.conv.weight
    return before_and_after(model, lambda: setattr(weight, "data", weight.data.transpose(0, 1)))


@case
def data_of_another_dtype():
    model = applying(lambda h: h)
    first = picture(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.double()
    return first, picture(model, X.double())


@case
def optimizer_and_foreach():
    model = small()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=1.0)

    def step():
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        optimizer.zero_grad()

    return before_and_after(model, lambda: torch._foreach_mul_(parameters, 2.0), step)


@case
def module_list():
    model = applying(lambda h: h)
    model.blocks = torch.nn.ModuleList([torch.nn.Conv2d(4, 4, 1)])

    def apply(h):
        for block in model.blocks:
            h = block(h)
        return h

    model.function = apply
    return before_and_after(
        model,
        lambda: model.blocks.append(torch.nn.Conv2d(4, 4, 1)),
        lambda: model.blocks.insert(0, torch.nn.Conv2d(4, 4, 1)),
        lambda: model.blocks.pop(1),
        lambda: model.blocks.extend([torch.nn.SiLU()]),
    )


@case
def lists_of_parameters():
    model = applying(lambda h: h)
    model.scales = torch.nn.ParameterList([torch.ones(1)])
    model.named = torch.nn.ParameterDict({"a": torch.ones(1)})
    model.function = lambda h: h * sum(model.scales) * sum(model.named.values())
    return before_and_after(
        model,
        lambda: model.scales.append(torch.full((1,), 4.0)),
        lambda: model.named.update({"b": torch.full((1,), 3.0)}),
        lambda: model.named["a"].mul_(7),
    )


@case
def sequential():
    model = applying(lambda h: h)
    model.layers = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.SiLU())
    model.function = lambda h: model.layers(h)
    return before_and_after(
        model,
        lambda: model.layers.__setitem__(1, torch.nn.GELU()),
        lambda: model.layers.__delitem__(0),
        lambda: model.layers.append(torch.nn.Conv2d(4, 4, 1)),
    )


@case
def copy_of_a_used_model_that_is_patched():
    model = small()
    first = picture(model)
    twin = copy.deepcopy(model)
    twin.conv_in.forward = lambda x: torch.nn.Conv2d.forward(twin.conv_in, x) * 5
    return changed(first, picture(twin), picture(model))
