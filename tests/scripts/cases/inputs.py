"""What goes into a model and what comes out: kinds, layouts, aliases, and wrong calls."""

from __future__ import annotations

import collections
import functools

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from tests.scripts.models import IDS, E, T, X, applying, changed, clip, picture, small, unet
from tests.scripts.registry import case
from tests.scripts.run_cases import said


@case(compiled=True)
def kinds_of_timesteps():
    model = unet()
    kinds = [
        T,
        7,
        7.0,
        np.int64(7),
        np.float64(7),
        torch.tensor([7]),
        torch.tensor(7.0),
        torch.tensor(7, dtype=torch.int32),
        torch.tensor([7], dtype=torch.float64),
    ]
    return [picture(model, X, kind, E) for kind in kinds]


@case
def other_timesteps():
    model = unet()
    steps = (1, np.int64(500), torch.tensor(999), 0.5, np.float64(20.5))
    return changed(*(picture(model, X, step, E) for step in steps))


@case
def ways_to_call():
    model = unet()
    with torch.no_grad():
        return [
            model(X, T, E).sample,
            model(X, T, encoder_hidden_states=E).sample,
            model(sample=X, timestep=T, encoder_hidden_states=E).sample,
            model(X, encoder_hidden_states=E, timestep=T)[0],
            model(X, T, E, return_dict=False)[0],
            model.forward(X, T, E).sample,
            model.__call__(X, T, E)["sample"],
            type(model).forward(model, X, T, E).sample,
        ]


@case
def kinds_of_results():
    model = unet()
    with torch.no_grad():
        result, plain = model(X, T, E), model(X, T, E, return_dict=False)
    (only,) = result.to_tuple()
    return (
        isinstance(result, UNet2DConditionOutput),
        type(result).__name__,
        type(plain).__name__,
        len(plain),
        list(result.keys()),
        list(result),
        type(result.sample).__name__,
        type(result.sample) is torch.Tensor,
        result.sample is result[0] is result["sample"] is only,
        result.sample.requires_grad,
        result.sample.is_leaf,
        str(result.sample.device),
        str(result.sample.layout),
        result.sample.grad_fn is None,
    )


@case
def layout_of_results():
    model = unet()
    with torch.no_grad():
        result = model(X, T, E).sample
    return (result.stride(), result.is_contiguous(), result.view(-1)[:3], result.storage_offset())


@case
def layouts_of_inputs():
    model = unet()
    wide = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    inputs = [
        wide[:, :4, :4, :4],
        wide[:, ::2, ::2, ::2],
        wide[:, :4, 4:, 4:].contiguous(memory_format=torch.channels_last),
        wide[:, :4, :4, :4].transpose(2, 3),
        wide[:, :1, :4, :4].expand(1, 4, 4, 4),
        torch.as_strided(wide, (1, 4, 4, 4), (0, 1, 1, 1)),
        wide.flip(2)[:, :4, :4, :4],
    ]
    return changed(*(picture(model, each, T, E) for each in inputs))


@case
def inputs_one_over_the_other():
    """Two arguments over the same memory."""
    model = applying(lambda h: h)
    model.forward = lambda a, b: model.conv(a) * b
    with torch.no_grad():
        return changed(model(X, X), model(X, X.clone() * 2), model(X * 2, X * 2))


@case
def input_expanded_over_the_batch():
    model = unet()
    x = X.expand(2, -1, -1, -1)
    return picture(model, x, T, E.expand(2, -1, -1)), x.stride()


@case
def sizes_and_batches_and_back():
    model = small()
    results = []
    for batch, size in ((1, 4), (2, 4), (1, 6), (3, 5), (1, 4), (2, 4)):
        results.append(picture(model, X.new_ones(batch, 4, size, size) * (batch + size)))
    return results


@case
def empty_batch():
    return picture(applying(lambda h: h * 5), X[:0])


@case
def length_of_the_text():
    model = unet()
    return changed(*(picture(model, X, T, E.repeat(1, n, 1) * n) for n in (1, 2, 5)))


@case(compiled=True)
def input_edited_after_the_call():
    model, x = small(), X.clone()
    first = picture(model, x)
    kept = first.clone()
    x.mul_(5)
    second = picture(model, x)
    return (*changed(kept, second), first)


@case
def buffer_that_is_used_again():
    """One buffer for the input of every step, filled anew."""
    model, x = small(), torch.empty_like(X)
    results = []
    for step in range(3):
        x.copy_(X * (1 + step))
        results.append(picture(model, x))
    return changed(*results)


@case
def input_that_numpy_edits():
    model, data = small(), X.numpy().copy()
    x = torch.from_numpy(data)
    first = picture(model, x)
    data *= 5
    return changed(first, picture(model, x))


@case(compiled=True)
def results_kept_while_the_next_call_runs():
    model = small()
    results = [picture(model, X * (step + 1)) for step in range(4)]
    return changed(*results)


@case
def result_edited_in_place():
    model = small()
    first = picture(model)
    first.mul_(100)
    second = picture(model)
    second.add_(3).clamp_(-1, 1)
    return changed(first, second, picture(model))


@case
def result_that_goes_in_again():
    model, x = small(), X
    for _ in range(4):
        x = picture(model, x)
    return x


@case
def result_is_the_input():
    model = applying(lambda h: h)
    model.forward = lambda x: x
    x = X.clone()
    result = picture(model, x)
    result.mul_(5)
    return (result is x, result.data_ptr() == x.data_ptr(), x)


@case
def result_is_a_view_of_the_input():
    model = applying(lambda h: h)
    model.forward = lambda x: (x[:, 1:], model.conv(x), x.transpose(2, 3))
    x = X.clone()
    with torch.no_grad():
        view, plain, turned = model(x)
    view.mul_(5)
    return (x, plain, turned, view._base is x, turned.stride())


@case
def result_twice_the_same():
    model = applying(lambda h: (h, h, h[:, :2]))
    one, other, view = picture(model)
    one.mul_(5)
    return (one is other, one, other, view)


@case
def result_is_a_weight():
    model = applying(lambda h: h)
    model.function = lambda h: (h, model.conv.bias)
    result, bias = picture(model)
    with torch.no_grad():
        bias.add_(5)
    return (bias is model.conv.bias, *changed(result, picture(model)[0]))


@case
def result_is_kept_by_the_model():
    model = applying(lambda h: h)
    model.function = lambda h: setattr(model, "last", h) or h
    result = picture(model)
    return (result is model.last, result, model.last)


@case(compiled=True)
def model_that_edits_its_input():
    model = applying(lambda h: h)
    model.forward = lambda x: model.conv(x.mul_(2))
    x = X.clone()
    first, kept = picture(model, x), x.clone()
    return (*changed(first, picture(model, x)), kept, x)


@case
def model_that_edits_a_view_of_its_input():
    model = applying(lambda h: h)

    def forward(x):
        x[:, :2].zero_()
        return model.conv(x)

    model.forward = forward
    wide = X.repeat(1, 2, 1, 1)
    result = picture(model, wide[:, 2:6])
    return (result, wide)


@case
def containers():
    """Lists, dicts, named tuples and nested tuples in and out."""
    kind = collections.namedtuple("kind", "a b")
    model = applying(lambda h: h)

    def forward(pair, options, *, named):
        a = model.conv(pair[0]) + options["bias"]["value"] + named.a
        return {"a": a, "b": [a * 2, (pair[1], None, "text", 5)], "c": kind(a.mean(), True)}

    model.forward = forward
    with torch.no_grad():
        result = model([X, X * 2], {"bias": {"value": 3.0}}, named=kind(T, None))
    return (list(result), result, type(result["c"]).__name__, type(result["b"][1]).__name__)


@case
def results_that_are_no_tensors():
    model = applying(lambda h: (float(h.sum()), tuple(h.shape), h.dtype is torch.float32, None))
    return picture(model), picture(model, X * 3)


@case
def shape_that_the_values_decide():
    model = applying(lambda h: h[h > 0])
    return picture(model), picture(model, X * -1)


@case
def branch_that_the_values_decide():
    model = applying(lambda h: h * 5 if h.sum() > 0 else h - 5)
    return changed(picture(model), picture(model, X * -20), picture(model))


@case
def loop_that_the_values_decide():
    def function(h):
        while h.abs().max() > 0.5:
            h = h / 2
        return h

    return picture(applying(function)), picture(applying(function), X * 100)


@case
def tensor_made_inside():
    def function(h):
        line = torch.arange(h.shape[-1]) * torch.tensor([0.5])
        return h + line + torch.linspace(0, 1, 4)[:, None] + torch.full((1,), 3)

    return picture(applying(function))


@case
def tensor_from_numpy_inside():
    from_numpy = applying(lambda h: h + torch.from_numpy(np.arange(4, dtype=np.float32)))
    to_numpy = applying(lambda h: torch.from_numpy(np.sort(h.numpy(), axis=-1)) * 2)
    return picture(from_numpy), picture(to_numpy)


@case(compiled=True)
def number_of_numpy_inside():
    """Dynamo makes a tensor of it between two frames, with what it finds as `torch.as_tensor`."""
    factor = np.sqrt(2.0)
    return picture(applying(lambda h: h / factor)), picture(applying(lambda h: h * factor + 1))


@case
def unusual_dtypes():
    model = applying(lambda h: (h > 0, (h * 10).int(), h.double(), (h.abs() * 10).to(torch.uint8)))
    complex_ = applying(lambda h: torch.view_as_real(torch.fft.fftn(h, dim=(-2, -1))))
    return picture(model, X.abs()), picture(complex_)


@case
def double_precision():
    model = unet().double()
    return picture(model, X.double(), T, E.double())


@case
def tensor_subclass():
    class Named(torch.Tensor):
        pass

    result = picture(small(), X.clone().as_subclass(Named))
    return type(result).__name__, torch.Tensor(result)


@case
def parameter_as_input():
    return picture(small(), torch.nn.Parameter(X.clone())).requires_grad


@case(compiled=True)
def wrong_calls():
    """What a person reads after a mistake: the same kind of error, in the same words."""
    model, text = unet(), clip()
    calls = {
        "channels": lambda: model(X[:, :3], T, E),
        "dimensions": lambda: model(X[0], T, E),
        "width of the text": lambda: model(X, T, E[..., :3]),
        "dtype": lambda: model(X.double(), T, E),
        "no text": lambda: model(X, T, None),
        "argument left out": lambda: model(X),
        "unknown argument": lambda: model(X, T, E, guidance=5),
        "twice": lambda: model(X, T, E, timestep=T),
        "float32 of numpy": lambda: model(X, np.float32(7), E),
        "no tensor": lambda: model("latents", T, E),
        "no ids": lambda: text(None),
        "ids out of range": lambda: text(IDS + 1000),
    }
    results = {}
    with torch.no_grad():
        for name, call in calls.items():
            try:
                call()
                results[name] = "no error"
            except Exception as error:
                results[name] = said(error)
    return (results, picture(model), picture(text))


@case
def partial_forward():
    model = unet()
    model.forward = functools.partial(model.forward, return_dict=False)
    with torch.no_grad():
        result = model(X, T, E)
    return (type(result).__name__, *result)


@case
def method_of_a_model_beside_its_call():
    model = clip()
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(IDS)
    return embeddings, picture(model)


@case
def random_state_after_a_call():
    model = unet()
    torch.manual_seed(3)
    first = torch.randn(2)
    picture(model)
    return (first, torch.randn(2), torch.initial_seed())


@case
def model_that_draws_noise():
    model = applying(lambda h: h + torch.randn_like(h))
    results = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        results += [picture(model), picture(model), torch.randn(2)]
    return changed(*results)


@case
def model_that_draws_from_a_generator():
    generator = torch.Generator().manual_seed(3)
    model = applying(lambda h: h + torch.randn(h.shape, generator=generator))
    results = [picture(model), picture(model)]
    generator.manual_seed(3)
    return changed(*results, picture(model))


@case
def dropout_in_a_model_that_is_used():
    model = applying(lambda h: torch.nn.functional.dropout(h, 0.5, training=True))
    torch.manual_seed(3)
    return (*changed(picture(model), picture(model)), torch.rand(1))
