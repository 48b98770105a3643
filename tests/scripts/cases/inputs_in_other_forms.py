"""What a script gives a model beside plain tensors, and in other ways from call to call."""

from __future__ import annotations

import dataclasses

import torch

from tests.scripts.models import (
    IDS,
    X,
    applying,
    changed,
    clip,
    picture,
    small,
    unet,
    vae,
)
from tests.scripts.registry import case


def taking(forward):
    """A model whose forward is `forward(convolution, ...)`."""
    model = applying(lambda h: h)
    model.forward = lambda *args, **words: forward(model.conv, *args, **words)
    return model


@case
def negative_views():
    model = small()
    imaginary = torch.complex(X, X * 2).conj().imag
    assert imaginary.is_neg()
    return picture(model, imaginary), picture(model, torch._neg_view(X)), picture(model)


@case
def conjugate_views():
    model = taking(lambda conv, x: torch.view_as_real(x.resolve_conj())[..., 1] + conv(X))
    numbers = torch.complex(X, X * 2)
    return picture(model, numbers), picture(model, numbers.conj())


@case
def conjugate_inside():
    return picture(applying(lambda h: torch.complex(h, h * 2).conj().imag + h))


@case
def result_that_is_a_negative_view():
    result = picture(applying(lambda h: torch.complex(h, h * 2).conj().imag))
    return result * 1.0, result.is_neg(), torch.tensor(result.tolist())


@case
def one_tensor_twice_then_two():
    model, other = taking(lambda conv, a, b: conv(a) * 2 + b), X * 3
    pairs = [(X, X), (X, other), (other, other), (other, X)]
    return changed(*(picture(model, *pair) for pair in pairs))


@case
def one_tensor_twice_that_is_edited():
    def forward(conv, a, b):
        a = a.clone() if a is b else a
        a.mul_(2)
        return conv(a) + b

    model, one = taking(forward), X.clone()
    first = picture(model, one, one)
    two, three = X.clone(), X.clone()
    return first, picture(model, two, three), one, two, three


@case
def arguments_and_keywords():
    def forward(conv, x, scale=1.0, *more, **words):
        return conv(x) * scale + sum(more) + sum(words.values())

    model = taking(forward)
    return [
        picture(model, X),
        picture(model, X, 2.0),
        picture(model, X, scale=3.0),
        picture(model, X, 2.0, 1.0),
        picture(model, X, a=1.0),
        picture(model, X, b=1.0, a=2.0),
    ]


@case
def none_and_left_out():
    nothing = object()

    def forward(conv, x, mask=nothing):
        return conv(x) * (1.0 if mask is nothing else 2.0 if mask is None else mask)

    model = taking(forward)
    masks = [{}, {"mask": None}, {"mask": torch.full((1,), 3.0)}, {}]
    return [picture(model, X, **mask) for mask in masks]


@case
def dicts_with_other_keys():
    def forward(conv, x, extra):
        return conv(x) + sum(value * len(key) for key, value in sorted(extra.items()))

    model = taking(forward)
    extras = [{"a": 1.0}, {"a": 1.0, "bb": X}, {"bb": X}, {}]
    return [picture(model, X, extra) for extra in extras]


@case
def lists_of_other_lengths():
    model = taking(lambda conv, x, extra: conv(x) + sum(extra))
    return [picture(model, X, extra) for extra in ([X], [X, X], (X, X * 2), [])]


@case
def data_class():
    @dataclasses.dataclass
    class Extra:
        scale: float
        shift: torch.Tensor

    model = taking(lambda conv, x, extra: conv(x) * extra.scale + extra.shift)
    extra = Extra(1.0, X)
    first = picture(model, X, extra)
    extra.scale = 5.0
    second = picture(model, X, extra)
    extra.shift = X * 9
    return changed(first, second, picture(model, X, extra), picture(model, X, Extra(2.0, X * 3)))


@case
def processors_of_diffusers_in_turn():
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    model, pictures = unet(), []
    for kind in (AttnProcessor2_0, AttnProcessor, AttnProcessor2_0):
        model.set_attn_processor(kind())
        pictures.append(picture(model))
    return pictures


@case
def samples_of_the_latent_distribution():
    model = vae()
    pixels = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latents = model.encode(pixels).latent_dist
        drawn = [latents.sample(torch.Generator().manual_seed(seed)) for seed in (1, 2)]
        return latents.mode(), drawn, model.decode(latents.mode()).sample


@case
def ids_of_other_dtypes():
    model = clip()
    return picture(model, IDS), picture(model, IDS.int())


@case
def masks_of_a_text():
    model, mask = clip(), torch.ones_like(IDS)
    shorter = mask.clone()
    shorter[:, -2:] = 0
    masks = [mask, shorter, None, shorter.bool()]
    return [picture(model, IDS, attention_mask=each) for each in masks]


@case
def hidden_states_and_none():
    model = clip()
    with torch.no_grad():
        all_of_them = model(IDS, output_hidden_states=True).hidden_states
        without = model(IDS, output_hidden_states=False)
    return list(all_of_them), without.last_hidden_state, without.hidden_states is None
