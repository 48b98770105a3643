"""Tensors between torch and JAX, without a copy wherever the memory allows it.

On one device the exchange is DLPack: both sides see the same bytes. Between devices it is a copy
by way of the CPU. Every array that comes out of here is 32-bit or narrower.
"""

from __future__ import annotations

import jax
import torch

from sdbackends.engines.jax.layout import Array

#: XLA:CPU takes foreign memory as it is only from here on.
ALIGNMENT = 64
_NARROWED = {torch.int64: torch.int32, torch.float64: torch.float32}
_INT32 = torch.iinfo(torch.int32)


def shareable(tensor: torch.Tensor, device: jax.Device) -> bool:
    """Whether JAX on `device` can read this tensor's own memory."""
    return (
        on_same_device(tensor, device)
        and tensor.dtype not in _NARROWED
        and tensor.is_contiguous()
        and tensor.data_ptr() % ALIGNMENT == 0
    )


def on_same_device(tensor: torch.Tensor, device: jax.Device) -> bool:
    if device.platform == "cpu":
        return tensor.device.type == "cpu"
    same_kind = tensor.device.type == "cuda" and device.platform in ("gpu", "cuda", "rocm")
    return same_kind and (tensor.device.index or 0) == (device.local_hardware_id or 0)


def to_jax(tensor: torch.Tensor, device: jax.Device) -> Array:
    """An array of the tensor's values; shares its memory if `shareable`."""
    plain = tensor.detach()
    if plain.dtype == torch.int64:  # the largest one stands for "no limit"; cut, it would be -1
        plain = plain.clamp(_INT32.min, _INT32.max)
    plain = plain.to(_NARROWED.get(plain.dtype, plain.dtype)).contiguous()
    # An axis of length 1 may have any stride and be contiguous; JAX would take that for a layout.
    plain = plain.reshape(-1).reshape(plain.shape)
    if on_same_device(plain, device):
        _wait_for(plain)
        shared: Array = jax.dlpack.from_dlpack(plain)
        return shared
    there: Array = jax.device_put(jax.dlpack.from_dlpack(plain.cpu()), device)
    return there


def to_torch(array: Array, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A tensor on `device` over the array's memory, or a copy where it lies elsewhere."""
    (place,) = array.devices()
    if place.platform not in ("cpu", "gpu", "cuda"):
        array = jax.device_put(array, jax.local_devices(backend="cpu")[0])
    tensor: torch.Tensor = torch.utils.dlpack.from_dlpack(array)
    return tensor.to(device=device, dtype=dtype)


def _wait_for(tensor: torch.Tensor) -> None:
    """JAX runs on streams of its own: what torch still computes must be there first."""
    if tensor.device.type == "cuda":
        torch.cuda.current_stream(tensor.device).synchronize()
