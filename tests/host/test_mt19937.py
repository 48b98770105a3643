"""torch's CPU numbers without torch: bit by bit where ATen has kernels of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdbackends.oneflow_host.mt19937 import Mt19937Stream

SIZES = (16, 17, 31, 32, 100, 4 * 64 * 64, 100_003)


def generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 + 5, 67280421310721])
@pytest.mark.parametrize("count", SIZES)
def test_randn(seed: int, count: int) -> None:
    theirs = torch.randn(count, generator=generator(seed)).numpy()
    ours = Mt19937Stream(seed).normal(count)
    if "AVX" in torch.backends.cpu.get_cpu_capability():
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-7)


def test_one_after_the_other() -> None:
    """Small draws keep half of a pair for the next; large ones do not touch it."""
    stream, theirs = Mt19937Stream(7), generator(7)
    for count in (1, 3, 20, 1, 1, 64, 5):
        expected = torch.randn(count, generator=theirs).numpy()
        np.testing.assert_allclose(stream.normal(count), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("count", [3, 15, 16, 40, 1000])
def test_randn_double(count: int) -> None:
    theirs = torch.randn(count, generator=generator(3), dtype=torch.float64).numpy()
    np.testing.assert_allclose(Mt19937Stream(3).normal_double(count), theirs, rtol=1e-13)


def test_rand_and_integers() -> None:
    for count in (1, 5, 1000):
        np.testing.assert_array_equal(
            Mt19937Stream(5).uniform(count), torch.rand(count, generator=generator(5)).numpy()
        )
        np.testing.assert_array_equal(
            Mt19937Stream(5).uniform_double(count),
            torch.rand(count, generator=generator(5), dtype=torch.float64).numpy(),
        )
        for low, high in ((0, 1000), (-7, 2**31), (0, 2**40)):
            np.testing.assert_array_equal(
                Mt19937Stream(5).integers(count, low, high - low),
                torch.randint(low, high, (count,), generator=generator(5)).numpy(),
            )


def test_permutation() -> None:
    for count in (0, 1, 2, 10, 1000):
        theirs = torch.randperm(count, generator=generator(9)).numpy()
        np.testing.assert_array_equal(Mt19937Stream(9).permutation(count), theirs)


def test_the_state_goes_there_and_back() -> None:
    stream = Mt19937Stream(1)
    stream.normal(3)
    state = stream.state
    first = stream.normal(50)
    stream.state = state
    np.testing.assert_array_equal(stream.normal(50), first)
