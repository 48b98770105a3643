"""Bytes: what the models' weights hold, and what the accelerator held at most."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch

from sdbackends.matrix.measure import stopwatch


def weights(models: Iterable[torch.nn.Module]) -> int:
    """Of parameters and buffers; what two models share counts once."""
    held: dict[int, int] = {}
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            size = tensor.numel() * tensor.element_size()
            held[tensor.data_ptr()] = max(size, held.get(tensor.data_ptr(), 0))
    return sum(held.values())


def peak_gpu() -> int | None:
    """What torch and jax took from the GPU or TPU at most, in this process; None: nothing.

    An upper bound where both took some: their two peaks need not have been at one time.
    """
    own = torch.cuda.max_memory_reserved() if stopwatch.on_gpu() else 0
    return own + _peak_of_jax() or None


def _peak_of_jax() -> int:
    """On a GPU or a TPU; what jax reserves beforehand and never fills is not in it."""
    jax, bridge = (sys.modules.get(name) for name in ("jax", "jax._src.xla_bridge"))
    # Asked for its devices, a jax that some library merely imported would seize the whole GPU.
    if jax is None or bridge is None or not bridge.backends_are_initialized():
        return 0
    device = jax.local_devices()[0]
    books = {} if device.platform == "cpu" else device.memory_stats() or {}
    return int(books.get("peak_bytes_in_use", 0))
