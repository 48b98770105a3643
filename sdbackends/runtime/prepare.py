"""Prepare a call of a model for its engine.

What libraries do around or inside of a forward is done before it, where a program would not do it:
accelerate's hook, transformers' hooks for hidden states, the timestep as a tensor.
"""

from __future__ import annotations

import functools
import inspect
import numbers
from typing import Any

import torch

from sdbackends.host import precision
from sdbackends.runtime import transformers_hooks

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def convert(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, again: bool
) -> Arguments:
    """Convert the model and its inputs to the precision that runs here; eager calls too.

    `again`: the last call of this model needed nothing.
    """
    precision.convert_model(module, again=again)
    return precision.convert_inputs(module, args, kwargs)


class PreparedCall:
    """The arguments with which an engine is called, and what is done with its result.

    Attributes:
        inner: accelerate put the model's own forward aside, and its hook has run.
    """

    def __init__(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._module = module
        self._hook = getattr(module, "_hf_hook", None)
        self.inner = self._hook is not None
        if self._hook is not None:
            args, kwargs = self._hook.pre_forward(module, *args, **kwargs)
        self.args, self.kwargs = _with_tensor_timestep(module, args, kwargs)
        transformers_hooks.apply(module, self.kwargs)

    def finished(self, result: Any) -> Any:
        """Return what the script gets for the engine's `result`."""
        return result if self._hook is None else self._hook.post_forward(self._module, result)


def _with_tensor_timestep(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments:
    """Make a tensor of a number that is the timestep, as diffusers does inside the model.

    Burnt in as a number, every step of the loop would be a capture of its own.
    """

    def lift(value: Any) -> Any:
        # NumPy's integers too. Its float32 is no number to the models themselves.
        if isinstance(value, bool) or not isinstance(value, (numbers.Integral, float)):
            return value
        dtype = torch.int64 if isinstance(value, numbers.Integral) else torch.float64
        device = next((p.device for p in module.parameters()), None)
        return torch.tensor(
            int(value) if dtype is torch.int64 else value, dtype=dtype, device=device
        )

    if "timestep" in kwargs:
        return args, {**kwargs, "timestep": lift(kwargs["timestep"])}
    at = _timestep_position(type(module).forward)
    if at is not None and at < len(args):
        return (*args[:at], lift(args[at]), *args[at + 1 :]), kwargs
    return args, kwargs


@functools.cache
def _timestep_position(forward: Any) -> int | None:
    names = list(inspect.signature(forward).parameters)
    return names.index("timestep") - 1 if "timestep" in names else None
