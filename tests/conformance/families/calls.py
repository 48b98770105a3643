"""The calls that a pipeline makes of its models, recorded while it draws on plain torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from tests.conformance.families.catalog import Family


@dataclass
class ModelCall:
    """The first call of one model: `name` is the pipeline's own, "vae.decoder" the decoder's."""

    name: str
    model: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def to(self, dtype: torch.dtype) -> ModelCall:
        """The same call of a copy of the model, weights and floating inputs in this dtype."""
        args, kwargs = _cast((self.args, self.kwargs), dtype)
        model = copy.deepcopy(self.model)
        # Not diffusers' own `to`, which warns of layers that no model here has.
        return ModelCall(self.name, torch.nn.Module.to(model, dtype), args, kwargs)

    def __call__(self) -> list[torch.Tensor]:
        """The floating tensors that come out."""
        with torch.no_grad():
            result = self.model(*self.args, **self.kwargs)
        return [leaf for leaf in pytree.tree_leaves(result) if _is_floating(leaf)]


def model_calls(family: Family) -> list[ModelCall]:
    """The first call of each model that the family's plain call makes."""
    pipe = family.build()
    pipe.set_progress_bar_config(disable=True)
    models = {
        name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)
    }
    models["vae.decoder"] = models.pop("vae").decoder
    calls: dict[str, ModelCall] = {}
    hooks = [_recording(calls, name, model) for name, model in models.items()]
    with torch.no_grad():
        pipe(**family.call, generator=torch.Generator().manual_seed(0), output_type="np")
    for hook in hooks:
        hook.remove()
    return list(calls.values())


def _recording(calls: dict[str, ModelCall], name: str, model: torch.nn.Module) -> Any:
    def record(_: torch.nn.Module, args: Any, kwargs: Any) -> None:
        calls.setdefault(name, ModelCall(name, model, *copy.deepcopy((args, kwargs))))

    return model.register_forward_pre_hook(record, with_kwargs=True)


def _cast(tree: Any, dtype: torch.dtype) -> Any:
    return pytree.tree_map(lambda leaf: leaf.to(dtype) if _is_floating(leaf) else leaf, tree)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
