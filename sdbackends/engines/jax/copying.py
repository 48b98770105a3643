"""Copy a weight into another axis order, at about the speed of memory.

Of a convolution's kernels a model has gigabytes, and every process copies them once. Where it was
measured (a virtual machine, pages of 4 KB), half of the time of a plain copy went into the page
faults of new memory, most of the rest into reading single elements that stand a page apart.
"""

from __future__ import annotations

import contextlib
import math
import mmap

import torch

#: Smaller tensors gain nothing.
_LARGE = 4 << 20
#: Output channels that are turned at once: a scratch of theirs fits into a processor's cache.
_CHANNELS = 64


def empty(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor without values, like `torch.empty`; a large one on a CPU stands in huge pages."""
    count = math.prod(shape)
    size = count * dtype.itemsize
    if device.type == "cpu" and size >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # torch says it better if there is no memory
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            with contextlib.suppress(OSError):  # a kernel without huge pages
                memory.madvise(mmap.MADV_HUGEPAGE)
            return torch.frombuffer(memory, dtype=dtype, count=count).view(shape)
    return torch.empty(shape, dtype=dtype, device=device)


def copy(turned: torch.Tensor, into: torch.Tensor) -> None:
    """Copy `turned`, a permuted view, into the contiguous `into` of the same shape.

    A kernel [O, I, H, W], seen as [H, W, I, O], is turned in two steps, a few output channels at a
    time: first as a matrix, then row by row.
    """
    kernel = turned.permute(3, 2, 0, 1) if turned.dim() == 4 else turned
    if (
        turned.dim() != 4
        or turned.device.type != "cpu"
        or turned.dtype != into.dtype
        or not kernel.is_contiguous()
        or turned.numel() * turned.element_size() < _LARGE
    ):
        into.copy_(turned)
        return
    height, width, inward, outward = turned.shape
    rows = kernel.reshape(outward, -1)
    places = into.view(height * width, inward, outward)
    scratch = rows.new_empty(rows.shape[1] * min(_CHANNELS, outward))
    for first in range(0, outward, _CHANNELS):
        some = rows[first : first + _CHANNELS]
        matrix = scratch[: some.numel()].view(rows.shape[1], -1).copy_(some.t())
        by_place = matrix.view(inward, height * width, -1).transpose(0, 1)
        places[:, :, first : first + len(some)].copy_(by_place)
