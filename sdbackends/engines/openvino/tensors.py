"""Tensors between torch and OpenVINO, over the same memory on a CPU."""

from __future__ import annotations

import torch

from sdbackends.engines.openvino.dtypes import DTYPES
from sdbackends.engines.openvino.runtime import ov
from sdbackends.errors import RunError

_INT32, _INT64 = torch.iinfo(torch.int32), torch.iinfo(torch.int64)


def shared(tensor: torch.Tensor) -> ov.Tensor:
    """Return an OpenVINO tensor over the memory of a contiguous tensor on the CPU."""
    dtype = DTYPES[str(tensor.dtype).removeprefix("torch.")]
    if tensor.dtype == torch.bfloat16:  # NumPy has no such dtype
        tensor = tensor.view(torch.int16)
    return ov.Tensor(tensor.numpy(), ov.Shape(tensor.shape), dtype)


def readable(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor, or a copy of it, as OpenVINO's CPU can read it.

    Raises:
        RunError: integers that 32 bits cannot hold; OpenVINO's CPU would cut them.
    """
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if tensor.dtype != torch.int64 or not tensor.numel():
        return tensor
    low, high = (int(end) for end in torch.aminmax(tensor))
    if _INT32.min <= low and high <= _INT32.max:
        return tensor
    limits = (tensor == _INT64.min) | (tensor == _INT64.max)  # these stand for "no limit"
    clamped = tensor.clamp(_INT32.min, _INT32.max)
    beyond = (clamped != tensor) & ~limits
    if beyond.any():
        raise RunError(
            "OpenVINO counts in 32 bits on a CPU, and an integer is longer",
            where=f"{tensor[beyond][0].item()} in an int64 tensor of shape {list(tensor.shape)}",
            why="it would be cut to another number",
            fix="the model runs on eager torch instead",
        )
    return clamped
