"""Kernels turned at the speed of memory are the kernels that torch turns."""

from __future__ import annotations

import pytest
import torch

from sdbackends.engines.jax import copying

LARGE = (200, 700, 3, 3)  # not a multiple of the channels that are turned at once


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [LARGE, (640, 320, 3, 5), (4, 3, 3, 3), (70, 4000, 3, 3)])
def test_a_kernel_is_turned(shape, dtype):
    kernel = torch.arange(torch.Size(shape).numel()).remainder(60000).to(dtype).view(shape)
    turned = kernel.permute(2, 3, 1, 0)
    into = copying.empty(turned.shape, dtype, kernel.device)
    copying.copy(turned, into)
    assert torch.equal(into, turned.contiguous())


@pytest.mark.parametrize(
    "kernel",
    [
        torch.randn(LARGE).to(memory_format=torch.channels_last),
        torch.randn(LARGE)[:, ::2],
        torch.randn(LARGE, dtype=torch.float64),
        torch.randn(200, 6300).view(200, 700, 9),
    ],
    ids=["channels last", "a part of it", "another dtype", "three dimensions"],
)
def test_what_is_no_dense_kernel_is_copied_too(kernel):
    turned = kernel.permute(*range(2, kernel.dim()), 1, 0)
    into = copying.empty(turned.shape, torch.float32, kernel.device)
    copying.copy(turned, into)
    assert torch.equal(into, turned.float())


def test_memory_of_a_large_tensor_lives_as_long_as_its_views():
    made = copying.empty(torch.Size(LARGE), torch.float32, torch.device("cpu"))
    row = made.fill_(3)[-1, -1]
    del made
    copying.empty(torch.Size(LARGE), torch.float32, torch.device("cpu")).fill_(5)
    assert (row == 3).all()


def test_an_empty_or_a_small_one_is_torchs():
    assert copying.empty(torch.Size([0, 3]), torch.float32, torch.device("cpu")).shape == (0, 3)
    assert (
        copying.empty(torch.Size([2]), torch.bfloat16, torch.device("cpu")).dtype is torch.bfloat16
    )
