"""Tensors between torch and OpenVINO, over the same memory on a CPU."""

from __future__ import annotations

import torch

from sdbackends.engines.int32_range import to_int32
from sdbackends.engines.openvino.dtypes import DTYPES
from sdbackends.engines.openvino.runtime import ov


def shared(tensor: torch.Tensor) -> ov.Tensor:
    """Return an OpenVINO tensor over the memory of a contiguous tensor on the CPU."""
    dtype = DTYPES[str(tensor.dtype).removeprefix("torch.")]
    if tensor.dtype == torch.bfloat16:  # NumPy has no such dtype
        tensor = tensor.view(torch.int16)
    return ov.Tensor(tensor.numpy(), ov.Shape(tensor.shape), dtype)


def readable(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor, or a copy of it, as OpenVINO's CPU can read it.

    Raises:
        RunError: as `to_int32`.
    """
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if tensor.dtype == torch.int64:
        return to_int32(tensor, "OpenVINO's CPU").to(torch.int64)
    return tensor
