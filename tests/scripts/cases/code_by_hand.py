"""Functions, methods and hooks that a script puts in the place of others by hand."""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from tests.scripts.models import applying, before_and_after, changed, picture, reading, small
from tests.scripts.registry import case


class Block(torch.nn.Module):
    def forward(self, x, scale=1.0, *, factor=1.0):
        return x * scale * factor


def with_block():
    model = applying(lambda h: h)
    model.block = Block()
    model.function = lambda h: model.block(h)
    return model


@case
def defaults_of_a_method():
    defaults, keywords = Block.forward.__defaults__, dict(Block.forward.__kwdefaults__)
    try:
        return before_and_after(
            with_block(),
            lambda: setattr(Block.forward, "__defaults__", (5.0,)),
            lambda: Block.forward.__kwdefaults__.update(factor=5.0),
        )
    finally:
        Block.forward.__defaults__, Block.forward.__kwdefaults__ = defaults, keywords


@case
def partial_method():
    class Scales:
        value = 1.0

        def of(self, factor):
            return self.value * factor

        weak = functools.partialmethod(of, 1.0)

    scales = Scales()
    return before_and_after(
        reading(lambda: scales.weak()),
        lambda: setattr(Scales, "weak", functools.partialmethod(Scales.of, 5.0)),
        lambda: setattr(scales, "value", 3.0),
    )


@case
def forward_without_gradients():
    layer = small()
    forward = layer.conv_in.forward
    patched = torch.no_grad()(lambda x: forward(x) * 5)
    return before_and_after(
        layer,
        lambda: setattr(layer.conv_in, "forward", patched),
        lambda: vars(layer.conv_in).pop("forward"),
    )


@case
def forward_in_a_wrapper():
    model, state = small(), {"scale": 5.0}
    forward = model.conv_in.forward

    @functools.wraps(forward)
    def wrapper(*args, **words):
        return forward(*args, **words) * state["scale"]

    return before_and_after(
        model,
        lambda: setattr(model.conv_in, "forward", wrapper),
        lambda: state.update(scale=2.0),
    )


@case
def mock_of_a_function():
    model = applying(lambda h: F.gelu(h))
    first = picture(model)
    with mock.patch.object(F, "gelu", side_effect=lambda h: h * 5) as fake:
        second = picture(model)
    return first, second, fake.call_count, picture(model)


@case
def mock_around_a_layer():
    model = small()
    first = picture(model)
    with mock.patch.object(model.conv_in, "forward", wraps=model.conv_in.forward) as fake:
        pictures = [picture(model), picture(model)]
    return first, pictures, fake.call_count, picture(model)


@case
def module_that_is_reloaded():
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(sys, "path", [folder, *sys.path]),
    ):
        path = Path(folder, "reloaded_by_a_script.py")
        path.write_text("def scale():\n    return 1.0\n")
        with mock.patch.object(sys, "dont_write_bytecode", True):
            module = importlib.import_module(path.stem)
            model = reading(lambda: module.scale())
            first = picture(model)
            path.write_text("def scale():\n    return 5.0\n")
            importlib.invalidate_caches()
            importlib.reload(module)
        second = picture(model)
        del sys.modules[path.stem]
    return changed(first, second)


@case
def table_of_hooks_replaced():
    model = small()
    hooks = collections.OrderedDict({1: lambda module, args, result: result * 5})
    return before_and_after(
        model,
        lambda: setattr(model.conv_in, "_forward_hooks", hooks),
        lambda: setattr(model.conv_in, "_forward_hooks", collections.OrderedDict()),
    )


@case
def hook_written_into_the_table():
    model = small()
    hooks = model.conv_in._forward_pre_hooks
    return before_and_after(
        model, lambda: hooks.update({12345: lambda module, args: (args[0] * 5,)}), hooks.clear
    )


@case
def hook_replaced_under_its_key():
    model = small()
    hooks = model.conv_in._forward_hooks
    hooks[1] = lambda module, args, result: result * 2
    return before_and_after(
        model, lambda: hooks.update({1: lambda module, args, result: result * 5})
    )


@case
def hooks_in_another_order():
    model = small()

    def one(module, args, result):
        return result * 2 + 1

    first = model.conv_in.register_forward_hook(one)
    model.conv_in.register_forward_hook(lambda module, args, result: result + 3)

    def behind():
        first.remove()
        model.conv_in.register_forward_hook(one)

    return before_and_after(model, behind)


@case
def hook_that_is_an_object():
    class Hook:
        scale = 2.0

        def __call__(self, module, args, result):
            return result * self.scale

    model, hook = small(), Hook()
    model.conv_in.register_forward_hook(hook)
    return before_and_after(model, lambda: setattr(hook, "scale", 5.0))


@case
def hook_that_is_a_method():
    class Keeper:
        scale = 2.0

        def __init__(self):
            self.kept = []

        def hook(self, module, args, result):
            self.kept.append(result)
            return result * self.scale

    model, keeper = small(), Keeper()
    model.conv_in.register_forward_hook(keeper.hook)
    pictures = before_and_after(model, lambda: setattr(keeper, "scale", 5.0))
    return pictures, keeper.kept


@case
def stack_of_contexts():
    state = {"count": 0}

    @contextlib.contextmanager
    def scaled():
        state["count"] += 1
        yield float(state["count"])
        state["count"] += 10

    def apply(h):
        with contextlib.ExitStack() as stack:
            return h * stack.enter_context(scaled())

    model = applying(apply)
    return changed(*(picture(model) for _ in range(3))), state["count"]


@case
def errors_of_numpy_ignored():
    values = np.array([0.0])

    def read():
        with np.errstate(divide="ignore"):
            return float(np.nan_to_num(1.0 / values[0], posinf=3.0))

    return before_and_after(reading(read), lambda: values.__setitem__(0, 2.0))
