"""Gradients through a model: guidance, training, transforms. Eager torch is right by design."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from tests.scripts.models import (
    IDS,
    E,
    T,
    X,
    applying,
    changed,
    clip,
    controlnet,
    picture,
    small,
    unet,
    vae,
)
from tests.scripts.registry import case


@case(falls_back=True, compiled=True)
def guidance_through_a_frozen_unet():
    """Classifier and CLIP guidance: nothing of the model is trained, its input needs gradients."""
    model, x = unet().requires_grad_(False), X.clone().requires_grad_()
    result = model(x, T, E).sample
    result.square().sum().backward()
    return (result, x.grad, result.requires_grad)


@case(falls_back=True)
def guidance_step():
    model, latents = unet().requires_grad_(False), X
    for _ in range(2):
        x = latents.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x, T, E).sample.square().mean(), x)
        latents = latents - gradient
    return changed(X, latents)[1]


@case(falls_back=True)
def guidance_after_pictures():
    """Pictures without gradients, then guidance, then pictures again."""
    model = unet().requires_grad_(False)
    first = picture(model)
    x = X.clone().requires_grad_()
    result = model(x, T, E).sample
    result.sum().backward()
    return (first, result, x.grad, picture(model), picture(model).requires_grad)


@case(falls_back=True)
def textual_inversion():
    """One row of the embedding is trained through a frozen text encoder and a frozen UNet."""
    text, model = clip().requires_grad_(False), unet().requires_grad_(False)
    weight = text.get_input_embeddings().weight
    weight.requires_grad_(True)
    before = weight.detach().clone()
    optimizer = torch.optim.SGD([weight], lr=0.5)
    losses = []
    for _ in range(3):
        loss = F.mse_loss(model(X, T, text(IDS).last_hidden_state).sample, X)
        loss.backward()
        weight.grad[:5] = 0
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return (losses, weight.detach() - before)


@case(falls_back=True)
def lora_training():
    from peft import LoraConfig

    model = unet().requires_grad_(False)
    torch.manual_seed(1)
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    first = picture(model)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.1)
    losses = []
    for _ in range(3):
        loss = F.mse_loss(model(X, T, E).sample, X)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return (len(trained), losses, losses[-1] < losses[0], *changed(first, picture(model)))


@case(falls_back=True)
def controlnet_training():
    control, model = controlnet().train(), unet().requires_grad_(False)
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.SGD(control.parameters(), lr=0.5)
    losses = []
    for _ in range(3):
        down, mid = control(X, T, E, image, return_dict=False)
        loss = F.mse_loss(model(X + down[0] + mid, T, E).sample, X)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses, losses[-1] < losses[0]


@case(falls_back=True)
def training_and_validation_pictures():
    model = small().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pictures = []
    for _ in range(3):
        model.train()
        model(X).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        model.eval()
        pictures.append(picture(model))
    return changed(*pictures)


@case(falls_back=True)
def training_in_eval_mode():
    model = small()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        loss = model(X).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        losses.append(float(loss))
    return (losses, picture(model))


@case(falls_back=True)
def gradients_that_add_up():
    model = small()
    for factor in (1, 2, 3):
        model(X * factor).sum().backward()
    return [parameter.grad for parameter in model.parameters()]


@case(falls_back=True)
def decoding_with_gradients():
    model, z = vae().requires_grad_(False), X.clone().requires_grad_()
    model.decode(z).sample.square().mean().backward()
    return z.grad


@case(falls_back=True)
def gradient_of_a_gradient():
    model, x = small().requires_grad_(False), X.clone().requires_grad_()
    model.attn.set_processor(AttnProcessor())
    (gradient,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    return (gradient, x.grad)


@case(falls_back=True)
def gradient_of_the_text():
    """Attend-and-excite, prompt tuning: the text needs gradients, the latents do not."""
    model, text = unet().requires_grad_(False), E.clone().requires_grad_()
    model(X, T, text).sample.square().sum().backward()
    return text.grad


@case(falls_back=True)
def gradient_of_a_kept_map():
    """Attend-and-excite: a processor keeps its map, the loss is of the map alone."""
    from tests.scripts.models import attention

    kept: list[torch.Tensor] = []

    def processor(attn, hidden_states, encoder_hidden_states=None, **others):
        return attention(attn, hidden_states, encoder_hidden_states, kept.append)

    model, x = small().requires_grad_(False), X.clone().requires_grad_()
    model.attn.processor = processor
    model(x)
    (gradient,) = torch.autograd.grad(kept[-1][..., 0].max(), x)
    return (len(kept), kept[-1], gradient)


@case(falls_back=True)
def gradient_checkpointing():
    model, x = unet().requires_grad_(False).train(), X.clone().requires_grad_()
    model.enable_gradient_checkpointing()
    result = model(x, T, E).sample
    result.square().sum().backward()
    model.disable_gradient_checkpointing()
    return (result, x.grad, picture(model.eval()))


@case(falls_back=True)
def checkpoint_of_the_script():
    model, x = small().requires_grad_(False), X.clone().requires_grad_()
    result = checkpoint(model, x, use_reentrant=False)
    result.square().sum().backward()
    return (result, x.grad)


@case(falls_back=True)
def gradients_switched_on_inside():
    """A guidance loss inside a pipeline that runs without gradients."""
    model = unet().requires_grad_(False)
    with torch.no_grad():
        first = model(X, T, E).sample
        with torch.enable_grad():
            x = X.clone().requires_grad_()
            model(x, T, E).sample.square().sum().backward()
        second = model(x, T, E).sample
    return (first, x.grad, second, second.requires_grad)


@case(falls_back=True)
def gradients_switched_on_in_a_hook():
    model, kept = small().requires_grad_(False), []

    def hook(module, inputs, output):
        with torch.enable_grad():
            leaf = output.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(leaf.pow(3).sum(), leaf)
        kept.append(gradient)
        return output - gradient

    model.ff.register_forward_hook(hook)
    return (picture(model), picture(model, X * 2), *kept)


@case(falls_back=True)
def gradients_switched_off_inside():
    model = small()
    model.function = None
    real = model.ff.forward

    def forward(hidden_states):
        with torch.no_grad():
            return real(hidden_states)

    model.ff.forward = forward
    model(X).sum().backward()
    return [None if each.grad is None else each.grad for each in model.parameters()]


@case(falls_back=True)
def hooks_on_gradients():
    model, x, kept = small(), X.clone().requires_grad_(), []
    model.ff.register_full_backward_hook(lambda module, before, after: kept.append(after[0]))
    model.conv_in.weight.register_hook(lambda gradient: gradient * 5)
    result = model(x)
    result.register_hook(lambda gradient: gradient * 2)
    result.sum().backward()
    return (x.grad, model.conv_in.weight.grad, *kept)


@case(falls_back=True)
def result_that_needs_gradients():
    model = small()
    result = model(X)
    frozen = small().requires_grad_(False)(X)
    return (result.requires_grad, result.is_leaf, result.grad_fn is None, frozen.requires_grad)


@case(falls_back=True)
def part_of_the_model_trained():
    model = small().requires_grad_(False)
    model.attn.to_v.weight.requires_grad_(True)
    model(X).square().sum().backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


@case(falls_back=True)
def straight_through():
    model, x = applying(lambda h: h + (h.round() - h).detach()), X.clone().requires_grad_()
    model(x).sum().backward()
    return x.grad


@case(falls_back=True)
def function_with_its_own_backward():
    class Reversed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    model, x = applying(Reversed.apply), X.clone().requires_grad_()
    first = picture(model)
    result = model(x)
    result.sum().backward()
    return (first, result, x.grad)


@case(falls_back=True)
def saved_tensors_on_the_disk():
    """saved_tensors_hooks: what the backward pass needs is packed and unpacked."""
    model, x, packed = small().requires_grad_(False), X.clone().requires_grad_(), []

    def pack(tensor):
        packed.append(tensor.numel())
        return tensor.detach().numpy()

    with torch.autograd.graph.saved_tensors_hooks(pack, torch.from_numpy):
        result = model(x)
    result.sum().backward()
    return (len(packed) > 0, x.grad)


@case(falls_back=True)
def anomaly_mode():
    model, x = small().requires_grad_(False), X.clone().requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        model(x).sum().backward()
    return x.grad


@case(falls_back=True)
def forward_mode():
    model = small().requires_grad_(False)
    model.attn.set_processor(AttnProcessor())
    with torch.no_grad(), forward_ad.dual_level():
        result = model(forward_ad.make_dual(X, torch.ones_like(X)))
        primal, tangent = forward_ad.unpack_dual(result)
        return (primal.clone(), tangent.clone())


@case(falls_back=True)
def transform_jvp():
    model = small().requires_grad_(False)
    model.attn.set_processor(AttnProcessor())
    with torch.no_grad():
        return torch.func.jvp(model, (X,), (torch.ones_like(X),))


@case(falls_back=True)
def transform_vjp():
    model = unet().requires_grad_(False)
    result, pull = torch.func.vjp(lambda x: model(x, T, E, return_dict=False)[0], X)
    return (result, *pull(torch.ones_like(result)))


@case(falls_back=True)
def transform_grad():
    model = small().requires_grad_(False)
    return torch.func.grad(lambda x: model(x).square().sum())(X)


@case(falls_back=True)
def transform_of_the_weights():
    model = small()
    weights = {name: each.detach() for name, each in model.named_parameters()}

    def loss(weights):
        return torch.func.functional_call(model, weights, (X,)).square().sum()

    return torch.func.grad(loss)(weights)


@case(falls_back=True)
def transform_jacobian():
    model = applying(lambda h: h.sum((2, 3)).tanh()).requires_grad_(False)
    return (torch.func.jacrev(model)(X), torch.func.jacfwd(model)(X))


@case(falls_back=True)
def transform_vmap():
    model = small().requires_grad_(False)
    with torch.no_grad():
        result = torch.vmap(lambda x: model(x[None])[0])(torch.cat([X, X * 2, X * 3]))
    return (result, picture(model))


@case(falls_back=True)
def transform_vmap_of_weights():
    """An ensemble: two models' weights stacked."""
    models = [small(), small()]
    with torch.no_grad():
        models[1].conv_in.weight.mul_(5)
    weights, buffers = torch.func.stack_module_state(models)

    def call(weights, buffers):
        return torch.func.functional_call(models[0], (weights, buffers), (X,))

    with torch.no_grad():
        return changed(*torch.vmap(call)(weights, buffers))


@case(falls_back=True)
def functional_call_beside_pictures():
    model = small()
    weights = {name: each * 1.5 for name, each in model.named_parameters()}
    pictures = [picture(model)]
    with torch.no_grad():
        pictures.append(torch.func.functional_call(model, weights, (X,)))
        pictures.append(model(X))
        pictures.append(torch.func.functional_call(model, {"conv_in.bias": torch.ones(4)}, (X,)))
    return changed(*pictures)


@case(falls_back=True)
def hutchinson():
    """A trace estimated with random vectors: vjp under no_grad, many times."""
    model = small().requires_grad_(False)
    total = 0.0
    for seed in range(3):
        noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(seed))
        with torch.enable_grad():
            x = X.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(model(x), x, noise)
        total += float((gradient * noise).sum())
    return total
