"""Weights: edited, aliased, exchanged, shared, saved and loaded, before and after pictures."""

from __future__ import annotations

import copy
import io
import pickle
import tempfile
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch.nn.utils import (
    parameters_to_vector,
    parametrizations,
    parametrize,
    prune,
    vector_to_parameters,
)

from tests.scripts.models import Small, X, before_and_after, changed, picture, small, unet
from tests.scripts.registry import case


@case(compiled=True)
def alias_in_a_state_dict():
    """A state_dict taken before the first picture, written to after it."""
    model = small()
    weights = model.state_dict()
    return before_and_after(
        model,
        lambda: weights["conv_in.weight"].mul_(3),
        lambda: weights["ff.net.2.weight"].mul_(9),
        lambda: weights["attn.to_v.weight"].copy_(torch.eye(4)),
    )


@case
def alias_in_numpy():
    model = small().requires_grad_(False)
    conv, linear = model.conv_in.weight.numpy(), model.attn.to_v.weight.numpy()
    return before_and_after(model, lambda: conv.__imul__(3), lambda: linear.__imul__(9))


@case
def alias_of_a_row():
    model = small().requires_grad_(False)
    row = model.conv_out.weight[1]
    return before_and_after(model, lambda: row.mul_(9), lambda: model.conv_out.bias[2:].add_(9))


@case
def alias_taken_after_a_picture():
    model = small()
    picture(model)
    weights = model.state_dict()
    return before_and_after(model, lambda: weights["conv_in.weight"].mul_(3))


@case
def alias_of_a_pointer():
    """Memory that another library holds: the address must stay."""
    model = small()
    before = [parameter.data_ptr() for parameter in model.parameters()]
    picture(model)
    return [parameter.data_ptr() for parameter in model.parameters()] == before


@case(compiled=True)
def layout_after_a_picture():
    model = unet()
    picture(model)
    vector = parameters_to_vector(model.parameters())
    strides = [(tuple(each.stride()), each.is_contiguous()) for each in model.parameters()]
    views = [each.view(-1)[:1] for each in model.parameters()]
    return (strides, len(vector), torch.cat(views))


@case
def saved_after_a_picture():
    model, path = unet(), Path(tempfile.mkdtemp(), "weights.safetensors")
    first = picture(model)
    save_file(model.state_dict(), path)
    other = unet()
    with torch.no_grad():
        other.conv_in.weight.zero_()
    other.load_state_dict(load_file(path))
    return first, picture(other)


@case
def edited_through_data():
    model = small()
    return before_and_after(
        model,
        lambda: model.conv_in.weight.data.mul_(3),
        lambda: setattr(model.conv_in.weight, "data", model.conv_in.weight.data * 3),
        lambda: setattr(model.attn.to_v.weight, "data", torch.eye(4) * 9),
        lambda: model.attn.to_v.weight.set_(torch.eye(4) * 20),
    )


@case
def edited_in_every_other_way():
    model = small()
    weight = model.conv_in.weight
    return before_and_after(
        model,
        lambda: weight.__setitem__((0, 0), 5.0),
        lambda: torch.nn.init.constant_(weight, 0.5),
        lambda: torch._foreach_mul_([weight], 3.0),
        lambda: weight.swapdims(2, 3).add_(torch.arange(3.0)),
        lambda: torch.mul(weight, 3, out=weight),
        lambda: weight.untyped_storage().copy_((weight * 3).untyped_storage()),
        lambda: torch.from_dlpack(weight.detach()).mul_(3),
    )


@case
def parameter_replaced():
    model = small()
    return before_and_after(
        model,
        lambda: setattr(model.conv_in, "weight", torch.nn.Parameter(model.conv_in.weight * 3)),
        lambda: model.conv_in.register_parameter(
            "weight", torch.nn.Parameter(torch.ones(4, 4, 3, 3))
        ),
        lambda: model.conv_in._parameters.update(bias=torch.nn.Parameter(torch.ones(4) * 9)),
    )


@case
def state_dict_loaded():
    model, other = small(), small()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    return before_and_after(model, lambda: model.load_state_dict(other.state_dict()))


@case
def state_dict_assigned():
    model = small()
    weights = {name: value * 2 for name, value in model.state_dict().items()}
    return before_and_after(
        model,
        lambda: model.load_state_dict(weights, assign=True),
        lambda: weights["conv_in.weight"].mul_(3),
    )


@case
def weights_from_a_vector():
    model = small()

    def change():
        vector_to_parameters(parameters_to_vector(model.parameters()) * 2, model.parameters())

    return before_and_after(model, change)


@case
def weight_norm_after_a_picture():
    model = small()
    return before_and_after(
        model,
        lambda: (
            parametrizations.weight_norm(model.conv_in)
            and model.conv_in.parametrizations.weight.original0.mul_(3)
        ),
        lambda: model.conv_in.parametrizations.weight.original0.mul_(3),
    )


@case
def weight_norm_removed():
    model = small()
    parametrizations.weight_norm(model.conv_in)
    with torch.no_grad():
        model.conv_in.parametrizations.weight.original0.mul_(3)
    first = picture(model)
    parametrize.remove_parametrizations(model.conv_in, "weight")
    second = picture(model)
    with torch.no_grad():
        model.conv_in.weight.mul_(3)
    return (first, *changed(second, picture(model)))


@case
def parametrization_of_the_script():
    class Doubled(torch.nn.Module):
        factor = 2.0

        def forward(self, weight):
            return weight * self.factor

    model, doubled = small(), Doubled()
    return before_and_after(
        model,
        lambda: parametrize.register_parametrization(model.attn.to_v, "weight", doubled) and None,
        lambda: setattr(doubled, "factor", 9.0),
    )


@case
def pruned_after_a_picture():
    model = small()
    return before_and_after(
        model,
        lambda: prune.l1_unstructured(model.conv_in, "weight", amount=0.5) and None,
        lambda: prune.ln_structured(model.attn.to_v, "weight", amount=0.5, n=2, dim=0) and None,
        lambda: model.conv_in.weight_orig.mul_(5),
    )


@case
def averaged_weights_and_back():
    """EMA: the average is copied in, a picture is drawn, the trained weights are restored."""
    from diffusers.training_utils import EMAModel

    model = small()
    ema = EMAModel(model.parameters(), decay=0.5)
    for _ in range(2):  # the first step only copies
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3)
        ema.step(model.parameters())
    pictures = [picture(model)]
    ema.store(model.parameters())
    ema.copy_to(model.parameters())
    pictures.append(picture(model))
    ema.restore(model.parameters())
    pictures.append(picture(model))
    return changed(*pictures)


@case
def deep_copy_of_a_used_model():
    model = small()
    first = picture(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.conv_in.weight.mul_(3)
    return (*changed(first, picture(other), picture(model)), type(other).__name__)


@case
def shallow_copy_of_a_used_model():
    model = small()
    first = picture(model)
    other = copy.copy(model)
    with torch.no_grad():
        other.conv_in.weight.mul_(3)
    return changed(first, picture(other)), picture(model)


@case
def pickled_after_a_picture():
    model = small()
    first = picture(model)
    data = pickle.dumps(model)
    other = pickle.loads(data)
    with torch.no_grad():
        other.conv_in.weight.mul_(3)
    return (*changed(first, picture(other)), sorted(vars(other)))


@case
def stored_by_torch_save():
    model, file = small(), io.BytesIO()
    first = picture(model)
    torch.save(model, file)
    file.seek(0)
    return first, picture(torch.load(file, weights_only=False))


@case
def saved_and_loaded_by_diffusers():
    model, folder = unet(), tempfile.mkdtemp()
    first = picture(model)
    with torch.no_grad():
        model.conv_in.weight.mul_(3)
    model.save_pretrained(folder)
    loaded = UNet2DConditionModel.from_pretrained(folder)
    return (*changed(first, picture(loaded)), loaded.training, sorted(loaded.state_dict())[:3])


@case
def tied_weights():
    model = small()
    model.attn.to_k.weight = model.attn.to_q.weight
    return before_and_after(
        model,
        lambda: model.attn.to_q.weight.mul_(9),
        lambda: setattr(model.attn.to_k, "weight", torch.nn.Parameter(torch.eye(4))),
        lambda: model.attn.to_k.weight.mul_(9),
    )


@case
def weights_shared_by_two_models():
    one, other = small(), small()
    other.conv_in = one.conv_in
    first = picture(one), picture(other)
    with torch.no_grad():
        one.conv_in.weight.mul_(3)
    second = picture(one), picture(other)
    return (*changed(first[0], second[0]), *changed(first[1], second[1]))


@case
def weights_that_are_views():
    """All weights are views of one flat tensor, as optimisers and FSDP lay them."""
    model = small()
    flat = parameters_to_vector(model.parameters()).detach().clone()
    at = 0
    for parameter in model.parameters():
        parameter.data = flat[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
    return before_and_after(model, lambda: flat.mul_(2), lambda: flat[:40].mul_(3))


@case
def weight_expanded():
    model = small()
    model.conv_in.bias.data = torch.ones(1).expand(4)
    return before_and_after(model, lambda: setattr(model.conv_in.bias, "data", torch.ones(4) * 5))


@case
def weights_of_other_layouts():
    model = small()
    first = picture(model)
    model.to(memory_format=torch.channels_last)
    second = picture(model)
    model.attn.to_v.weight.data = model.attn.to_v.weight.data.t().contiguous().t()
    return first, second, picture(model), model.attn.to_v.weight.stride()


@case(compiled=True)
def edited_in_inference_mode():
    """Loaded, called and edited under inference_mode."""
    with torch.inference_mode():
        model = small()
        first = model(X)
        model.conv_in.weight.mul_(3)
        second = model(X)
    return (*changed(first, second), second.is_inference(), model.conv_in.weight.is_inference())


@case
def inference_mode_and_no_grad():
    model = small()
    with torch.inference_mode():
        first = model(X)
    with torch.no_grad():
        model.conv_in.weight.mul_(3)
        second = model(X)
    with torch.inference_mode():
        third = model(X)
    return (*changed(first, second), third, first.is_inference(), second.is_inference())


@case
def loaded_in_inference_mode():
    with torch.inference_mode():
        model = small()
    first = picture(model)
    with torch.inference_mode():
        model.attn.to_v.weight.mul_(9)
    return changed(first, picture(model))


@case(compiled=True)
def buffer_updated_in_forward():
    """A running counter that is a buffer."""
    model = small()
    model.register_buffer("steps", torch.zeros(()))
    real = model.ff.forward

    def forward(hidden_states):
        model.steps += 1
        return real(hidden_states) * model.steps

    model.ff.forward = forward
    return (*changed(*(picture(model) for _ in range(3))), model.steps)


@case
def buffer_replaced_in_forward():
    model = small()
    model.register_buffer("kept", torch.zeros(1, 16, 4))
    real = model.ff.forward

    def forward(hidden_states):
        model.kept = hidden_states + model.kept
        return real(model.kept)

    model.ff.forward = forward
    return (*changed(*(picture(model) for _ in range(3))), model.kept, list(model._buffers))


@case
def running_statistics_in_train_mode():
    model = small()
    model.ff = torch.nn.Sequential(torch.nn.BatchNorm1d(16), model.ff)
    model.train()
    pictures = [picture(model), picture(model)]
    model.eval()
    pictures.append(picture(model))
    return (*pictures, model.ff[0].running_mean, model.ff[0].num_batches_tracked)


@case
def train_and_eval():
    model = small()
    model.ff = torch.nn.Sequential(model.ff, torch.nn.Dropout(0.5)).eval()
    first = picture(model)
    model.train()
    torch.manual_seed(3)
    second = picture(model)
    model.eval()
    return changed(first, second, picture(model))


@case
def model_of_another_dtype():
    model = small()
    pictures = [picture(model)]
    model.to(torch.bfloat16)
    with torch.no_grad():
        half = model(X.to(torch.bfloat16))
    model.to(torch.float64)
    pictures.append(picture(model, X.double()))
    return (*pictures, str(half.dtype), tuple(half.shape))


@case
def weights_on_meta_and_back():
    model = small()
    weights = {name: value.clone() * 2 for name, value in model.state_dict().items()}
    first = picture(model)
    model.to_empty(device="meta")
    shape = tuple(picture(model, X.to("meta")).shape)
    model.load_state_dict(weights, assign=True)
    return (shape, *changed(first, picture(model)))


@case
def requires_grad_switched():
    model = small()
    results = []
    for flag in (True, False, True):
        model.requires_grad_(flag)
        result = picture(model)
        results.append((result, result.requires_grad))
    return results


@case
def lora_layer_that_computes_its_weight():
    """A property stands where the parameter was (tensor subclasses, quantised layers)."""

    class Lazy(torch.nn.Linear):
        extra = 1.0

        @property
        def scaled(self):
            return self.weight * self.extra

        def forward(self, x):
            return torch.nn.functional.linear(x, self.scaled, self.bias)

    model = small()
    lazy = Lazy(4, 4, bias=False)
    lazy.load_state_dict(model.attn.to_v.state_dict())
    model.attn.to_v = lazy
    return before_and_after(
        model, lambda: setattr(lazy, "extra", 9.0), lambda: setattr(Lazy, "scaled", torch.eye(4))
    )


@case
def model_that_dies():
    """Many models one after the other: the memory of one is the next one's."""
    pictures = []
    for seed in range(4):
        model = small()
        with torch.no_grad():
            model.conv_in.weight.mul_(1 + 3 * seed)
        pictures.append(picture(model))
        del model
    return changed(*pictures)


@case
def class_registered_by_the_script():
    """Two classes of one name, as cells of a notebook that run again make them."""
    pictures = []
    for factor in (1.0, 5.0):

        class Again(Small):
            factor = 1.0

            def forward(self, x):
                return super().forward(x) * type(self).factor

        Again.factor = factor
        torch.manual_seed(0)
        pictures.append(picture(Again().eval()))
    return changed(*pictures)
