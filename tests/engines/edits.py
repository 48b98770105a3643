"""What scripts do to weights, by every handle that they may hold, and how tensors stand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch


def picture_of(module: torch.nn.Module) -> dict[str, tuple[Any, ...]]:
    """Where each parameter and buffer stands, and how."""
    return {
        name: (
            id(tensor),
            tensor.data_ptr(),
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.stride(),
            tensor.shape,
            tensor.is_contiguous(),
            tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last),
        )
        for name, tensor in module.state_dict(keep_vars=True).items()
    }


class Handles:
    """What a script may have taken before the first call, and may write through later."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.state = module.state_dict()
        self.data = {name: p.data for name, p in module.named_parameters()}
        self.arrays = {name: p.detach().numpy() for name, p in module.named_parameters()}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.module.get_parameter(name)

    def prune(self, name: str) -> None:
        """One output channel, and one that is not the first."""
        self[name].data[-1].zero_()
        self[name].data[0].zero_()

    def add(self, name: str) -> None:
        """A product of two thin matrices, as peft merges a LoRA."""
        weight = self[name].data
        rows = weight.shape[0]
        thin = torch.linspace(0.1, 1, rows)[:, None] @ torch.ones(1, weight[0].numel())
        weight += thin.reshape(weight.shape)

    def write_array(self, name: str) -> None:
        self.arrays[name][...] *= 3

    def from_vector(self, name: str) -> None:
        vector = torch.nn.utils.parameters_to_vector([self[name]])
        self[name].data.copy_((vector * 3).view_as(self[name]))


def _copied(handles: Handles, name: str) -> None:
    with torch.no_grad():
        handles[name].copy_(torch.full_like(handles[name], 0.3))


IN_PLACE: Mapping[str, Callable[[Handles, str], Any]] = {
    "in place": lambda h, n: h[n].mul_(3),
    "copied": _copied,
    "through data": lambda h, n: h[n].data.mul_(3),
    "state_dict taken before": lambda h, n: h.state[n].mul_(3),
    "data taken before": lambda h, n: h.data[n].mul_(3),
    "array taken before": lambda h, n: h.write_array(n),
    "a new array": lambda h, n: h[n].detach().numpy().__imul__(3),
    "pruned": lambda h, n: h.prune(n),
    "a merged LoRA": lambda h, n: h.add(n),
    "a vector of parameters": lambda h, n: h.from_vector(n),
}


def _data(layer: torch.nn.Module) -> None:
    layer.weight.data = layer.weight.data * 3


def _strided(layer: torch.nn.Module) -> None:
    """Other strides, other values."""
    weight = (layer.weight.data * 3).transpose(0, 1).contiguous().transpose(0, 1)
    layer.weight.data = weight


def _parameter(layer: torch.nn.Module) -> None:
    layer.weight = torch.nn.Parameter(layer.weight * 3, requires_grad=False)


def _set(layer: torch.nn.Module) -> None:
    layer.weight.data.set_((layer.weight.data * 3).clone())
    other = layer.weight.data * 3
    layer.weight.set_(other)


def _vector(layer: torch.nn.Module) -> None:
    """It makes every parameter a view of the vector."""
    parameters = list(layer.parameters())
    vector = torch.nn.utils.parameters_to_vector(parameters) * 3
    torch.nn.utils.vector_to_parameters(vector, parameters)


def _swapped(layer: torch.nn.Module) -> None:
    other = torch.nn.Parameter(layer.weight.detach() * 3, requires_grad=False)
    layer.weight.data, other.data = other.data, layer.weight.data


def _deepcopied(layer: torch.nn.Module) -> None:
    layer.weight = copy.deepcopy(layer.weight)
    layer.weight.data.mul_(3)


_EDITS: Mapping[str, Callable[[torch.nn.Module], None]] = {
    "data": _data,
    "a new parameter": _parameter,
    "set_": _set,
    "vector_to_parameters": _vector,
    "swapped data": _swapped,
    "deepcopy": _deepcopied,
    "strides": _strided,
}
#: Edits after which a weight stands elsewhere: of a module, and the path of a layer in it.
ELSEWHERE: Mapping[str, Callable[[torch.nn.Module, str], None]] = {
    name: lambda module, path, edit=edit: edit(module.get_submodule(path))  # type: ignore[misc]
    for name, edit in _EDITS.items()
}
