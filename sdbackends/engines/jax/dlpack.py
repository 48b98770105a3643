"""Tensors between torch and JAX, without a copy wherever the memory allows it.

On one device the exchange is DLPack: both sides see the same bytes. Between devices it is a copy
by way of the CPU. Every array that comes out of here is 32-bit or narrower; integers that do not
fit are refused.
"""

from __future__ import annotations

import jax
import torch

from sdbackends.engines.int32_range import to_int32
from sdbackends.engines.jax import at_exit
from sdbackends.engines.jax.layout import Array

#: Foreign memory must begin at a multiple of it: else XLA:CPU copies it, and XLA:GPU refuses it
#: (below 16). `timesteps.unbind()` gives tensors 4 bytes apart.
ALIGNMENT = 64
#: JAX computes in 32 bits here.
NARROWED = {
    torch.int64: torch.int32,
    torch.float64: torch.float32,
    torch.complex128: torch.complex64,
}


def shareable(tensor: torch.Tensor, device: jax.Device) -> bool:
    """Whether JAX on `device` can read this tensor's own memory."""
    return (
        on_same_device(tensor, device)
        and tensor.dtype not in NARROWED
        and tensor.is_contiguous()
        and not (tensor.is_conj() or tensor.is_neg())
        and tensor.data_ptr() % ALIGNMENT == 0
    )


def on_same_device(tensor: torch.Tensor, device: jax.Device) -> bool:
    if device.platform == "cpu":
        return tensor.device.type == "cpu"
    same_kind = tensor.device.type == "cuda" and device.platform in ("gpu", "cuda", "rocm")
    return same_kind and (tensor.device.index or 0) == (device.local_hardware_id or 0)


def narrowed(tensor: torch.Tensor, *, in_range: bool = False) -> torch.Tensor:
    """In the dtype that JAX has for it.

    `in_range`: the integers are known to fit, and are not looked at, which on a GPU would wait for
    it.

    Raises:
        RunError: as `to_int32`.
    """
    if tensor.dtype == torch.int64 and not in_range:
        return to_int32(tensor, "JAX")
    return tensor.to(NARROWED.get(tensor.dtype, tensor.dtype))


def to_jax(tensor: torch.Tensor, device: jax.Device, *, in_range: bool = False) -> Array:
    """An array of the tensor's values; shares its memory if `shareable`.

    On a GPU it does not wait: `streams.py` says what orders the two runtimes there.

    Raises:
        RunError: as `narrowed`.
    """
    # Conjugate and negative views say in a bit what their memory is to be taken for.
    tensor = tensor.detach().resolve_conj().resolve_neg()
    plain = narrowed(tensor, in_range=in_range).contiguous()
    # An axis of length 1 may have any stride and be contiguous; JAX would take that for a layout.
    plain = plain.reshape(-1).reshape(plain.shape)
    if on_same_device(plain, device):
        if plain.data_ptr() % ALIGNMENT:
            plain = plain.clone()
        at_exit.lend(plain)
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
