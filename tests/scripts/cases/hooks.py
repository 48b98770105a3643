"""Hooks on a model and on what is in it: laid, removed, exchanged, with memory and with effects."""

from __future__ import annotations

import torch
from torch.nn.modules import module as modules

from tests.scripts.models import (
    E,
    T,
    X,
    applying,
    attention,
    before_and_after,
    changed,
    picture,
    small,
    unet,
)
from tests.scripts.registry import case

STORE: list[torch.Tensor] = []


@case(compiled=True)
def forward_hook_laid_and_removed():
    model, handles = small(), []

    def lay():
        handles.append(model.ff.register_forward_hook(lambda module, inputs, output: output * 5))

    return before_and_after(model, lay, lambda: handles[0].remove())


@case
def pre_hook_laid_and_removed():
    model, handles = small(), []

    def lay():
        handles.append(model.ff.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 5,)))

    return before_and_after(model, lay, lambda: handles[0].remove())


@case
def hooks_with_keywords():
    model = unet()

    def pre(module, args, kwargs):
        return args, {**kwargs, "encoder_hidden_states": kwargs["encoder_hidden_states"] * 5}

    def post(module, args, kwargs, output):
        return (output[0] * kwargs["encoder_hidden_states"].mean(), *output[1:])

    block = model.down_blocks[0]
    return before_and_after(
        model,
        lambda: block.attentions[0].register_forward_pre_hook(pre, with_kwargs=True),
        lambda: block.register_forward_hook(post, with_kwargs=True),
    )


@case
def hook_on_the_model_itself():
    model = small()
    return before_and_after(
        model,
        lambda: model.register_forward_hook(lambda module, inputs, output: output * 5),
        lambda: model.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 5,)),
    )


@case(compiled=True)
def hook_that_keeps_activations():
    model, kept = small(), {}
    model.ff.register_forward_hook(lambda module, inputs, output: kept.update(ff=output))
    first = picture(model)
    one = kept["ff"]
    second = picture(model, X * 2)
    return (first, one, second, kept["ff"], type(one).__name__, one.requires_grad)


@case
def hook_that_keeps_a_list():
    model, kept = small(), []
    for module in (model.conv_in, model.attn.to_q, model.ff):
        module.register_forward_hook(lambda module, inputs, output: kept.append(output))
    pictures = [picture(model), picture(model, X * 2)]
    return (*pictures, *kept)


@case
def hook_that_keeps_on_the_module():
    model = small()
    model.ff.register_forward_hook(lambda module, inputs, output: setattr(module, "kept", output))
    return (picture(model), model.ff.kept, picture(model, X * 2), model.ff.kept)


@case
def hook_that_keeps_inputs():
    model, kept = small(), []
    model.conv_in.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    x = X.clone()
    result = picture(model, x)
    return (result, kept[0], kept[0].data_ptr() == x.data_ptr())


@case
def hook_that_detaches_to_numpy():
    model, kept = small(), []
    model.ff.register_forward_hook(
        lambda module, inputs, output: kept.append(output.detach().cpu().numpy().sum(axis=1))
    )
    return (picture(model), picture(model, X * 2), *kept)


@case
def hook_with_a_counter():
    model, calls = small(), []

    def hook(module, inputs, output):
        calls.append(len(calls))
        return output * len(calls)

    model.ff.register_forward_hook(hook)
    return (*changed(*(picture(model) for _ in range(4))), calls)


@case
def hook_that_uses_the_last_call():
    model, kept = small(), {}

    def hook(module, inputs, output):
        before = kept.get("output")
        kept["output"] = output
        return output if before is None else output + 3 * before

    model.ff.register_forward_hook(hook)
    return changed(*(picture(model, X * (step + 1)) for step in range(4)))


@case
def hook_that_removes_itself():
    model, handles = small(), []

    def hook(module, inputs, output):
        handles[0].remove()
        return output * 5

    handles.append(model.ff.register_forward_hook(hook))
    return (*changed(picture(model), picture(model)), len(model.ff._forward_hooks))


@case
def hook_in_front_of_another():
    model = small()
    model.ff.register_forward_hook(lambda module, inputs, output: output + 1)
    return before_and_after(
        model,
        lambda: model.ff.register_forward_hook(
            lambda module, inputs, output: output * 5, prepend=True
        ),
    )


@case
def hook_that_is_called_on_an_error():
    model, seen = small(), []
    model.ff.register_forward_hook(
        lambda module, inputs, output: seen.append(type(output).__name__), always_call=True
    )
    model.ff.register_forward_pre_hook(_refuse)
    try:
        picture(model)
    except ValueError as error:
        seen.append(str(error))
    model.ff._forward_pre_hooks.clear()
    return (seen, picture(model))


def _refuse(module, inputs):
    raise ValueError("not today")


@case
def global_hook():
    model, seen = small(), []
    handle = modules.register_module_forward_hook(
        lambda module, inputs, output: seen.append(type(module).__name__)
    )
    pictures = [picture(model), picture(model)]
    handle.remove()
    pictures.append(picture(model))
    return (*pictures, seen)


@case
def global_hook_that_changes():
    model = small()
    first = picture(model)
    handle = modules.register_module_forward_hook(
        lambda module, inputs, output: output * 5 if isinstance(module, torch.nn.Conv2d) else None
    )
    second = picture(model)
    handle.remove()
    return changed(first, second, picture(model))


@case
def global_pre_hook():
    model, seen = small(), []
    handle = modules.register_module_forward_pre_hook(
        lambda module, inputs: seen.append(type(module).__name__)
    )
    result = picture(model)
    handle.remove()
    return (result, picture(model), seen)


@case(compiled=True)
def processor_that_appends_to_a_module_list():
    """The module-level STORE of attention maps."""
    STORE.clear()

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        return attention(attn, hidden_states, encoder_hidden_states, STORE.append)

    model = small()
    model.attn.processor = processor
    first = picture(model)
    length = len(STORE)
    second = picture(model, X * 2)
    return (first, second, length, len(STORE), [type(each).__name__ for each in STORE], *STORE)


@case
def processor_that_adds_maps_up():
    """DAAM adds the maps of all steps up."""
    kept: dict[str, torch.Tensor] = {}

    def keep(scores):
        kept["sum"] = scores if "sum" not in kept else kept["sum"] + scores

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        if encoder_hidden_states is None:
            return attention(attn, hidden_states)
        return attention(attn, hidden_states, encoder_hidden_states, keep)

    model = unet()
    model.set_attn_processor(processor)
    pictures = [picture(model, X * step, T, E) for step in (1, 2, 3)]
    return (*pictures, kept["sum"])


@case
def model_called_in_a_hook():
    """One model's hook calls another model (reference-only, guidance by a second UNet)."""
    one, other = small(), small(width=8)
    one.ff.register_forward_pre_hook(lambda module, inputs: (inputs[0] + other(X).mean(),))
    first = picture(one)
    with torch.no_grad():
        other.conv_out.bias.add_(5)
    return changed(first, picture(one))


@case
def reference_attention():
    """Reference-only: one call writes the keys and values that the next one reads."""
    bank, mode = [], ["write"]

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        if mode[0] == "write":
            bank.append(hidden_states.clone())
            return attention(attn, hidden_states)
        return attention(attn, hidden_states, torch.cat([hidden_states, bank[-1] * 3], dim=1))

    model = small()
    model.attn.processor = processor
    pictures = []
    for step in (1, 2):
        mode[0] = "write"
        pictures.append(picture(model, X * step))
        mode[0] = "read"
        pictures.append(picture(model, X * step))
        bank.clear()
    return changed(*pictures)


@case
def hooks_of_diffusers():
    from diffusers.hooks import HookRegistry, ModelHook

    class Times(ModelHook):
        factor = 5.0

        def post_forward(self, module, output):
            return output * self.factor

    model, hook = small(), Times()
    registry = HookRegistry.check_if_exists_or_initialize(model.ff)
    return before_and_after(
        model,
        lambda: registry.register_hook(hook, "times"),
        lambda: setattr(hook, "factor", 9.0),
        lambda: registry.remove_hook("times"),
    )


@case
def hook_of_accelerate():
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    class Times(ModelHook):
        def pre_forward(self, module, *args, **kwargs):
            return tuple(each * 5 for each in args), kwargs

    model = small()
    return before_and_after(
        model,
        lambda: add_hook_to_module(model, Times()),
        lambda: add_hook_to_module(model.ff, Times()),
        lambda: remove_hook_from_module(model),
    )


@case(compiled=True, falls_back=True)
def backward_hook_laid_later_on_gradients_within():
    """Without gradients a backward hook does nothing: here they are on for a part of the call."""
    torch.manual_seed(1)
    inner = torch.nn.Conv2d(4, 4, 1)

    def gradient(h):
        with torch.enable_grad():
            h = h.detach().requires_grad_()
            return torch.autograd.grad(inner(h).square().sum(), h)[0]

    def lay():
        inner.register_full_backward_hook(lambda module, before, after: (before[0] * 3,))

    model = applying(gradient)
    model.inner = inner
    return before_and_after(model, lay)


@case
def backward_hook_laid_later_changes_what_goes_in():
    """`register_full_backward_pre_hook` and a tensor hook, both laid while gradients are off."""
    model = small()

    def lay():
        model.ff.register_full_backward_pre_hook(lambda module, after: (after[0] * 3,))

    first = picture(model)
    lay()
    second = picture(model)
    with torch.enable_grad():
        x = X.clone().requires_grad_()
        model(x).square().sum().backward()
    return first, second, x.grad, picture(model)


@case
def hook_with_keywords_laid_later():
    model = small()

    def lay():
        model.ff.register_forward_pre_hook(
            lambda module, args, kwargs: ((args[0] * 5,), kwargs), with_kwargs=True
        )

    def laid_after():
        model.attn.register_forward_hook(
            lambda module, args, kwargs, output: output * 2, with_kwargs=True
        )

    return before_and_after(model, lay, laid_after)
