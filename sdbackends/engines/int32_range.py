"""64-bit integers for runtimes that count in 32 bits."""

from __future__ import annotations

import torch

from sdbackends.errors import RunError

_INT32, _INT64 = torch.iinfo(torch.int32), torch.iinfo(torch.int64)


def to_int32(tensor: torch.Tensor, runtime: str) -> torch.Tensor:
    """Return an int64 tensor as int32.

    The ends of int64, which stand for "no limit", become those of int32. `runtime` is for messages.

    Raises:
        RunError: integers that 32 bits cannot hold; cut, they would be other numbers.
    """
    narrow = tensor.to(torch.int32)
    if not (narrow != tensor).any():
        return narrow
    clamped = tensor.clamp(_INT32.min, _INT32.max)
    beyond = (clamped != tensor) & (tensor != _INT64.min) & (tensor != _INT64.max)
    if beyond.any():
        raise RunError(
            f"{runtime} counts in 32 bits here, and an integer is longer",
            where=f"{tensor[beyond][0].item()} in an int64 tensor of shape {list(tensor.shape)}",
            why="ids and positions need less, and 64 bits would slow all else down",
            fix="the model runs on eager torch instead",
        )
    return clamped.to(torch.int32)
