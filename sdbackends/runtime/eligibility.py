"""Decide which calls of a model are inference that an engine can serve.

Training and gradients, transforms and modes of torch that must see every operation, and the text
that a decoder writes token by token (its cache of keys and values grows from call to call, so that
each would be a program of its own) run on eager torch under every backend. That is no failure of an
engine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.modules.module
import torch.nn.utils.parametrizations
import torch.utils._device


def ineligible_reason(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | None:
    """Why this call belongs to eager torch, in words; None where it is an engine's."""
    if module.training and (part := _changed_by_training(module)):
        return f"it is in train mode, and has {part} (model.eval() before inference)"
    first = next(module.parameters(), None)
    if first is not None and first.is_meta:
        return "its weights are not in memory (on the device meta)"
    if torch.is_grad_enabled() and _wants_gradients(module, args, kwargs):
        return "gradients are enabled (call it under torch.no_grad())"
    watched = _watched()
    if watched is not None:
        return watched
    if _writes_text(module, kwargs):
        return "it keeps a cache for the next token of a text (use_cache=False: one plain call)"
    return None


def _changed_by_training(module: torch.nn.Module) -> str:
    """The class of a layer that draws random numbers, or writes, because it is in train mode.

    Models that were built and not loaded are in train mode; most of diffusers have no such layer,
    and compute the same as after `eval()`. A forward that reads `self.training` is traced with it.
    """
    for part in module.modules():
        if part.training and _works_otherwise(part):
            return type(part).__name__
    return ""


def _works_otherwise(layer: torch.nn.Module) -> bool:
    if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if isinstance(layer, (torch.nn.RNNBase, torch.nn.MultiheadAttention)):
        return layer.dropout > 0
    return isinstance(layer, _OTHERWISE)


_OTHERWISE = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.RReLU,
    torch.nn.FractionalMaxPool2d,
    torch.nn.FractionalMaxPool3d,
    torch.nn.utils.parametrizations._SpectralNorm,
)


def _wants_gradients(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    if any(tensor.requires_grad for tensor in _tensors((args, kwargs))):
        return True
    return any(parameter.requires_grad for parameter in module.parameters())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)


def _watched() -> str | None:
    """What is to see every operation or every module of the call, and would see none of them."""
    if torch.nn.modules.module._has_any_global_hook():  # type: ignore[no-untyped-call]
        return "a hook stands on all modules (torch.nn.modules.module.register_module_…_hook)"
    # Not torch's own `is_in_torch_dispatch_mode`, whose flag is one for all threads: a model that
    # one of them traces raises it.
    if torch._C._len_torch_dispatch_stack():
        return "a TorchDispatchMode is on"
    for at in range(torch._C._len_torch_function_stack()):
        mode = torch._C._get_function_stack_at(at)
        if not isinstance(mode, torch.utils._device.DeviceContext):
            return f"a TorchFunctionMode is on ({type(mode).__name__})"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "it is called inside a transform of torch.func"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode derivatives are on"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace is recording it"
    if torch.fx._symbolic_trace.is_fx_symbolic_tracing():
        return "torch.fx is tracing it"
    return None


def _writes_text(module: torch.nn.Module, kwargs: dict[str, Any]) -> bool:
    """A decoder of transformers with its cache; text encoders have none to keep.

    The encoder of such a pair is built from the same configuration, but its `forward` takes none.
    """
    if not _takes_cache(type(module).forward):
        return False
    if kwargs.get("past_key_values") is not None:
        return True
    config = getattr(module, "config", None)
    decodes = getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False)
    wanted = kwargs.get("use_cache")
    return bool(decodes and (getattr(config, "use_cache", False) if wanted is None else wanted))


@functools.cache
def _takes_cache(forward: Any) -> bool:
    return "use_cache" in inspect.signature(forward).parameters
