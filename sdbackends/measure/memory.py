"""Bytes: what the models' weights hold, and what the GPU held at most."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch

from sdbackends.measure import stopwatch


def weights(models: Iterable[torch.nn.Module]) -> int:
    """Of parameters and buffers; what two models share counts once."""
    held: dict[int, int] = {}
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            size = tensor.numel() * tensor.element_size()
            held[tensor.data_ptr()] = max(size, held.get(tensor.data_ptr(), 0))
    return sum(held.values())


def peak_gpu() -> int | None:
    """What torch and jax took from the GPU at most, in this process; None where none was used."""
    own = torch.cuda.max_memory_reserved() if stopwatch.on_gpu() else 0
    jax = sys.modules.get("jax")
    if jax is not None and stopwatch.on_gpu():
        books = jax.local_devices()[0].memory_stats() or {}
        own += int(books.get("peak_bytes_in_use", 0))
    return own or None
