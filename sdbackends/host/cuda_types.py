"""The typed names of CUDA on a machine without it: `torch.cuda.FloatTensor`, `storage.cuda()`.

`torch.cuda.HalfTensor(2, 3)` makes a tensor on the CPU, `tensor.type("torch.cuda.FloatTensor")` and
`torch.set_default_tensor_type` take such a name for its namesake on the CPU, and storages stay
where they are, as in `torch.load(file, map_location=lambda storage, place: storage.cuda(0))`.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from sdbackends.host import cuda, stand_in
from sdbackends.host.patches import Patches

_PREFIX = "torch.cuda."


class _TensorType(type):
    """The class of `torch.cuda.FloatTensor` and its kind, as torch has one too."""

    here: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.here)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        cuda.first_use()
        kwargs.pop("device", None)
        return cls.here(*args, **kwargs)


def apply(patches: Patches) -> None:
    """Replace the tensor types of `torch.cuda`, what takes them, and the moves of storages."""
    _lay_tensor_types(patches)
    _lay_storages(patches)


def _lay_tensor_types(patches: Patches) -> None:
    for owner, beside in ((torch.cuda, torch), (torch.cuda.sparse, torch.sparse)):
        for name, real in list(vars(owner).items()):
            if type(real) is type(torch.FloatTensor):
                keys = ("dtype", "is_cuda", "is_sparse", "layout", "__module__", "__doc__")
                members = {key: getattr(real, key) for key in keys}
                members["here"] = getattr(beside, name)
                patches.set(owner, name, _TensorType(name, (), members))

    def type_(real: Any) -> Any:
        def call(self: torch.Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
            return real(self, _type_here(dtype), *args, **kwargs)

        return call

    stand_in.apply(patches, torch.Tensor, "type", type_)
    real_default = torch.set_default_tensor_type

    @functools.wraps(real_default)
    def set_default_tensor_type(t: Any) -> None:
        real_default(_type_here(t))

    patches.set(torch, "set_default_tensor_type", set_default_tensor_type)


def _type_here(named: Any) -> Any:
    """The type on the CPU for a type on CUDA, which may be named by a string."""
    if type(named) is _TensorType:
        cuda.first_use()
        return named.here
    if type(named) is type(torch.FloatTensor) and named.is_cuda:
        named = f"{named.__module__}.{named.__name__}"  # torch's own, from before the session
    if isinstance(named, str) and named.startswith(_PREFIX):
        cuda.first_use()
        return f"torch.{named.removeprefix(_PREFIX)}"
    return named


def _lay_storages(patches: Patches) -> None:
    for kind in (torch.storage._StorageBase, torch.TypedStorage):
        patches.set(kind, "cuda", _staying(kind.cuda))
        patches.set(kind, "to", _moving(kind.to))


def _staying(real: Any) -> Any:
    @functools.wraps(real)
    def cuda_(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
        cuda.first_use()
        return self

    return cuda_


def _moving(real: Any) -> Any:
    @functools.wraps(real)
    def to(self: Any, *, device: Any, non_blocking: bool = False) -> Any:
        return real(self, device=cuda.on_cpu(device), non_blocking=non_blocking)

    return to
