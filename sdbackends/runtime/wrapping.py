"""Wrap the calls of models, so that each of them asks the router first.

The base classes of diffusers' and transformers' models get a `__call__` of ours, and so do the
encoders and decoders of autoencoders.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from sdbackends.capture.forked import traces_elsewhere
from sdbackends.host.patches import Patches
from sdbackends.runtime.compiled_module import as_compiled
from sdbackends.runtime.parts import part_of

#: Answers a call of a model, its arguments and its keywords.
Answer = Callable[[torch.nn.Module, tuple[Any, ...], dict[str, Any]], Any]

_nn_call = torch.nn.Module.__call__


def call_eager(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call the model on eager torch; a script may have replaced `Module.__call__`."""
    return torch.nn.Module.__call__(module, *args, **kwargs)


def wrap_calls(base: type[torch.nn.Module], answer: Answer, patches: Patches) -> None:
    """Have `answer` answer every call of an instance of `base`."""

    @functools.wraps(_nn_call)
    def routed(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        # While another engine traces the model, this wrapper must leave no trace. The first
        # question is Dynamo's own, which it answers while it traces; the flag of the other one
        # is up in every thread.
        if torch.compiler.is_dynamo_compiling():
            return call_eager(module, *args, **kwargs)
        if torch.compiler.is_compiling() and not traces_elsewhere():
            return call_eager(module, *args, **kwargs)
        return answer(module, args, kwargs)

    patches.set(base, "__call__", routed)


def wrap_coders(vae: ModuleType, answer: Answer, patches: Patches) -> None:
    """Have `answer` answer the encoder and decoder of autoencoders, not `encode` and `decode`.

    Slicing, tiling and the latent distribution then stay plain torch around one program, and a tile
    costs no capture of its own.
    """
    for thing in list(vars(vae).values()):
        if (
            isinstance(thing, type)
            and issubclass(thing, torch.nn.Module)
            and thing.__module__ == vae.__name__
            and ("Encoder" in thing.__name__ or "Decoder" in thing.__name__)
        ):
            wrap_calls(thing, answer, patches)


def wrap_compile(takes_over: Callable[[torch.nn.Module], bool], patches: Patches) -> None:
    """Have `torch.compile(model)` compile nothing where `takes_over(model)` says so."""
    original = torch.compile

    @functools.wraps(original)
    def compile(model: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(model, torch.nn.Module) and takes_over(model):
            return as_compiled(model)
        return original(model, *args, **kwargs)

    patches.set(torch, "compile", compile)


def is_wrapped(module: torch.nn.Module) -> bool:
    return getattr(type(module).__call__, "__wrapped__", None) is _nn_call


def only_wraps_others(module: torch.nn.Module) -> bool:
    """Whether the model does other things in Python with what wrapped models inside it give.

    An autoencoder samples noise, a safety checker decides about what its vision model saw, several
    ControlNets or adapters are added up (and diffusers leaves the sum in train mode).
    """
    if type(module).__name__.endswith("SafetyChecker"):
        return True
    lists = [child for child in module.children() if isinstance(child, torch.nn.ModuleList)]
    if any(len(each) > 0 and all(map(is_wrapped, each)) for each in lists):
        return True
    return any(
        child is not None and is_wrapped(child) and part_of(child) == "vae"
        for child in (module._modules.get("encoder"), module._modules.get("decoder"))
    )
