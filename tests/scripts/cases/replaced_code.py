"""A function, a method or a part of a model is replaced between two calls."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import diffusers.models.embeddings
import torch
import torch.nn.functional as F
from diffusers.models.activations import GELU
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D

from tests.scripts.models import (
    E,
    Scaled,
    T,
    X,
    applying,
    attention,
    before_and_after,
    changed,
    picture,
    reading,
    small,
    unet,
)
from tests.scripts.registry import case


def strength() -> float:
    return 1.0


class Reader:
    """An object of the script's with methods of each kind."""

    def read(self):
        return 1.0

    @property
    def value(self):
        return 1.0

    @staticmethod
    def static():
        return 1.0

    @classmethod
    def of_class(cls):
        return 1.0

    def __call__(self):
        return 1.0

    def __getitem__(self, at):
        return 1.0

    def __mul__(self, other):
        return other * 1.0

    __rmul__ = __mul__


def replaced(model: torch.nn.Module, owner: Any, name: str, by: Any) -> tuple[torch.Tensor, ...]:
    """A picture, one with `owner.name` replaced, and one with the real one again."""
    first = picture(model)
    with mock.patch.object(owner, name, by):
        second = picture(model)
    return changed(first, second, picture(model))


def times(real: Callable[..., torch.Tensor], factor: float = 5.0) -> Callable[..., torch.Tensor]:
    return lambda *args, **kwargs: factor * real(*args, **kwargs)


@case
def function_of_the_script():
    first = picture(model := reading(lambda: strength()))
    with mock.patch.dict(globals(), strength=lambda: 5.0):
        return changed(first, picture(model))


@case
def code_of_a_function():
    def read():
        return 1.0

    def other():
        return 5.0

    return before_and_after(reading(read), lambda: setattr(read, "__code__", other.__code__))


@case
def method_of_a_class_of_the_script():
    reader = Reader()
    return replaced(reading(lambda: reader.read()), Reader, "read", lambda self: 5.0)


@case
def method_laid_on_an_instance():
    reader = Reader()
    model = reading(lambda: reader.read())
    return before_and_after(
        model, lambda: setattr(reader, "read", types.MethodType(lambda self: 5.0, reader))
    )


@case
def property_of_a_class():
    reader = Reader()
    return replaced(reading(lambda: reader.value), Reader, "value", property(lambda self: 5.0))


@case
def static_method():
    by = staticmethod(lambda: 5.0)
    return replaced(reading(lambda: Reader.static()), Reader, "static", by)


@case
def class_method():
    by = classmethod(lambda cls: 5.0)
    return replaced(reading(lambda: Reader.of_class()), Reader, "of_class", by)


@case
def call_of_a_class():
    reader = Reader()
    return replaced(reading(lambda: reader()), Reader, "__call__", lambda self: 5.0)


@case
def item_of_a_class():
    reader = Reader()
    return replaced(reading(lambda: reader[0]), Reader, "__getitem__", lambda self, at: 5.0)


@case
def operator_of_a_class():
    reader = Reader()
    model = applying(lambda h: reader * h)
    return replaced(model, Reader, "__mul__", lambda self, other: other * 5.0)


@case
def method_of_a_base_class():
    class Mine(Reader):
        pass

    reader = Mine()
    return replaced(reading(lambda: reader.read()), Reader, "read", lambda self: 5.0)


@case
def method_that_a_nearer_class_gets():
    class Middle(Reader):
        pass

    class Mine(Middle):
        pass

    reader = Mine()
    return before_and_after(
        reading(lambda: reader.read()), lambda: setattr(Middle, "read", lambda self: 5.0)
    )


@case
def bases_of_a_class():
    class Strong(Reader):
        def read(self):
            return 5.0

    class Middle(Reader):
        pass

    class Mine(Middle):
        pass

    reader = Mine()
    return before_and_after(
        reading(lambda: reader.read()), lambda: setattr(Mine, "__bases__", (Strong,))
    )


@case(compiled=True)
def forward_of_diffusers_feed_forward():
    return replaced(small(), FeedForward, "forward", times(FeedForward.forward))


@case
def forward_of_diffusers_attention():
    return replaced(small(), Attention, "forward", times(Attention.forward))


@case
def scores_of_diffusers_attention():
    model = small()
    model.attn.set_processor(AttnProcessor())
    by = times(Attention.get_attention_scores)
    return replaced(model, Attention, "get_attention_scores", by)


@case
def call_of_diffusers_processor():
    return replaced(small(), AttnProcessor2_0, "__call__", _no_attention)


def _no_attention(self, attn, hidden_states, *args, **kwargs):
    return attn.to_v(hidden_states) * 5


@case(compiled=True)
def forward_of_diffusers_resnet():
    return replaced(unet(), ResnetBlock2D, "forward", times(ResnetBlock2D.forward))


@case
def forward_of_diffusers_gelu():
    model = small()
    model.ff.net[0] = GELU(4, 4)
    return replaced(model, GELU, "gelu", lambda self, gate: F.relu(gate) * 5)


@case
def seamless_convolutions():
    """Seamless textures: every convolution pads around the edges."""

    def around(self, x, weight, bias):
        if self.padding != (0, 0):
            height, width = self.padding
            x = F.pad(x, (width, width, height, height), mode="circular")
        return F.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.groups)

    return replaced(small(), torch.nn.Conv2d, "_conv_forward", around)


@case
def seamless_convolutions_one_by_one():
    model = small()

    def around(self, x, weight, bias):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias)

    def change():
        model.conv_in._conv_forward = types.MethodType(around, model.conv_in)

    return before_and_after(model, change, lambda: delattr(model.conv_in, "_conv_forward"))


@case
def padding_mode_of_a_convolution():
    model = small()

    def change():
        model.conv_in.padding_mode = "circular"
        model.conv_in._reversed_padding_repeated_twice = [1, 1, 1, 1]

    return before_and_after(model, change)


@case
def forward_of_linear():
    return replaced(small(), torch.nn.Linear, "forward", times(torch.nn.Linear.forward, 2.0))


@case
def module_call_for_everyone():
    real = torch.nn.Module._call_impl
    names: list[str] = []

    def call(self, *args, **kwargs):
        names.append(type(self).__name__)
        return real(self, *args, **kwargs)

    model = small()
    first = picture(model)
    with mock.patch.object(torch.nn.Module, "_call_impl", call):
        second = picture(model)
    return first, second, sorted(names)


@case
def functional_silu():
    return replaced(small(), F, "silu", times(F.silu))


@case(compiled=True)
def functional_attention():
    """SageAttention and its like."""
    name = "scaled_dot_product_attention"
    return replaced(small(), F, name, times(F.scaled_dot_product_attention))


@case
def functional_conv2d():
    return replaced(small(), F, "conv2d", times(F.conv2d))


@case
def functional_linear():
    return replaced(small(), F, "linear", times(F.linear, 2.0))


@case
def functional_group_norm():
    return replaced(unet(), F, "group_norm", times(F.group_norm))


@case
def functional_interpolate():
    model = applying(lambda h: F.interpolate(h, scale_factor=2.0, mode="nearest"))
    real = F.interpolate
    by = lambda h, scale_factor, mode: real(h, scale_factor=scale_factor, mode="bilinear")  # noqa: E731
    return replaced(model, F, "interpolate", by)


@case
def torch_bmm():
    model = small()
    model.attn.set_processor(Scaled(lambda: 1.0))
    return replaced(model, torch, "bmm", times(torch.bmm))


@case
def method_of_tensors():
    model = applying(lambda h: h.flatten(2).softmax(-1))
    return replaced(model, torch.Tensor, "softmax", times(torch.Tensor.softmax))


@case
def math_of_python():
    return replaced(reading(lambda: math.sqrt(4.0)), math, "sqrt", lambda value: value * 5)


@case
def timestep_embedding_of_diffusers():
    name = "get_timestep_embedding"
    real = diffusers.models.embeddings.get_timestep_embedding
    return replaced(unet(), diffusers.models.embeddings, name, times(real))


@case
def forward_of_an_instance():
    model = small()
    real = model.ff.forward
    return before_and_after(
        model,
        lambda: setattr(model.ff, "forward", times(real)),
        lambda: delattr(model.ff, "forward"),
    )


@case
def forward_of_the_model_itself():
    model = small()
    real = model.forward
    return before_and_after(
        model,
        lambda: setattr(model, "forward", times(real)),
        lambda: setattr(model, "forward", times(model.forward)),
        lambda: delattr(model, "forward"),
    )


@case
def forward_bound_to_an_instance():
    model = small()

    def forward(self, hidden_states, **kwargs):
        return type(self).forward(self, hidden_states, **kwargs) * self.extra

    def change():
        model.ff.extra = 5.0
        model.ff.forward = types.MethodType(forward, model.ff)

    return before_and_after(model, change, lambda: setattr(model.ff, "extra", 9.0))


@case
def forward_of_a_unet():
    """DeepCache and its like stand in front of the whole model and keep what it gave."""
    model, kept, calls = unet(), {}, []
    real = model.forward

    def forward(sample, timestep, encoder_hidden_states, **kwargs):
        calls.append(int(timestep))
        if calls[-1] % 2 and kept:
            return kept["result"]
        kept["result"] = real(sample, timestep, encoder_hidden_states, **kwargs)
        return kept["result"]

    model.forward = forward
    pictures = [picture(model, X * step, torch.tensor(step), E) for step in (2, 3, 4, 5)]
    return (calls, *pictures)


@case
def class_of_a_block():
    """ToMe replaces the class of each block by one that inherits from it."""
    model = small()

    class Patched(type(model.ff)):
        def forward(self, hidden_states, *args, **kwargs):
            return super().forward(hidden_states.flip(1), *args, **kwargs) * self.info["ratio"]

    def change():
        model.ff.__class__ = Patched
        model.ff.info = {"ratio": 5.0}

    return before_and_after(
        model,
        change,
        lambda: model.ff.info.update(ratio=9.0),
        lambda: setattr(model.ff, "__class__", FeedForward),
    )


@case
def class_of_the_model():
    model = small()

    class Patched(type(model)):
        def forward(self, x):
            return super().forward(x) * 5

    return before_and_after(model, lambda: setattr(model, "__class__", Patched))


@case
def submodule_replaced():
    model = small()

    def change():
        torch.manual_seed(5)
        model.ff = FeedForward(4, mult=1, activation_fn="silu" if False else "gelu").eval()

    return before_and_after(model, change)


@case
def submodule_replaced_by_identity():
    model = small()
    return before_and_after(model, lambda: setattr(model, "ff", torch.nn.Identity()))


@case
def layer_replaced_by_a_wrapper():
    """Quantisation, LoRA by hand: the layer is put into another one."""
    model = small()

    class Wrapper(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.scale = inner, 5.0

        def forward(self, x):
            return self.inner(x) * self.scale

    return before_and_after(
        model,
        lambda: setattr(model, "conv_in", Wrapper(model.conv_in)),
        lambda: setattr(model.conv_in, "scale", 9.0),
    )


def _listed() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(torch.nn.Conv2d(4, 4, 1) for _ in range(3))

    def function(h):
        for layer in model.layers:
            h = layer(h).relu() + h
        return h

    model = applying(function)
    model.layers = layers.eval()
    return model


@case
def layer_added_to_a_list():
    model = _listed()
    torch.manual_seed(5)
    return before_and_after(model, lambda: model.layers.append(torch.nn.Conv2d(4, 4, 1)))


@case
def layers_reordered():
    model = _listed()
    return before_and_after(
        model, lambda: setattr(model, "layers", torch.nn.ModuleList(reversed(model.layers)))
    )


@case
def layers_sliced():
    """CLIP skip: the last layers are cut off."""
    model = _listed()
    return before_and_after(model, lambda: setattr(model, "layers", model.layers[:-1]))


@case
def layer_deleted():
    model = _listed()

    def change():
        del model.layers[1]

    return before_and_after(model, change)


@case
def layer_exchanged_in_place():
    model = _listed()

    def change():
        model.layers[0], model.layers[2] = model.layers[2], model.layers[0]

    return before_and_after(model, change)


@case
def bias_removed():
    model = small()
    return before_and_after(model, lambda: setattr(model.conv_in, "bias", None))


@case
def stride_of_a_convolution():
    model = applying(lambda h: h)
    return before_and_after(model, lambda: setattr(model.conv, "stride", (2, 2)))


@case
def epsilon_of_a_norm():
    model = unet()
    return before_and_after(
        model, lambda: setattr(model.down_blocks[0].resnets[0].norm1, "eps", 50.0)
    )


@case
def processor_exchanged_by_hand():
    model = small()

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        return attention(attn, hidden_states.flip(1), encoder_hidden_states) * 5

    return before_and_after(
        model,
        lambda: setattr(model.attn, "processor", processor),
        lambda: setattr(model.attn, "processor", AttnProcessor2_0()),
    )


@case
def patches_one_over_the_other():
    model = small()
    pictures = [picture(model)]
    with mock.patch.object(F, "silu", times(F.silu)):
        pictures.append(picture(model))
        with mock.patch.object(FeedForward, "forward", times(FeedForward.forward)):
            pictures.append(picture(model))
        pictures.append(picture(model))
    pictures.append(picture(model))
    return changed(*pictures)


@case
def timestep_type_beside_a_patch():
    """A patched forward gets the arguments that the script gave, not others."""
    model, seen = unet(), []
    real = model.forward

    def forward(sample, timestep, *args, **kwargs):
        seen.append(type(timestep).__name__)
        return real(sample, timestep, *args, **kwargs)

    model.forward = forward
    return (picture(model, X, T, E), picture(model, X, 7, E), seen)
