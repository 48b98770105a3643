"""The judge itself: which differences from torch it lets pass and which it does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from tests.conformance.opinfo.database import Sample
from tests.conformance.opinfo.judging import disagreement, repeatable

NUMBERS = torch.linspace(-3, 5, 64)
COUNTS = torch.arange(7)
UNIT = 2.0**-7  # of bfloat16's last place at 1


def sample_of(function: Any, x: torch.Tensor) -> Sample:
    leaves, spec = pytree.tree_flatten((x, (), {}))
    return Sample(f"ours/{str(x.dtype).removeprefix('torch.')}/0", function, tuple(leaves), spec)


def third(x: torch.Tensor) -> torch.Tensor:
    """An op whose bfloat16 result is rounded three times: torch's own error is not nothing."""
    return (x / 7 + 1) / 3


def summed(counts: torch.Tensor) -> torch.Tensor:
    """The sum of large numbers beside one that nearly vanishes."""
    return torch.stack([counts.sum() * 1e3, counts.sum() * 1e-3])


SMALL: dict[str, tuple[Sample, Any]] = {
    "a rounding of float32": (sample_of(torch.exp, NUMBERS), NUMBERS.exp() * (1 + 1e-6)),
    "a better bfloat16 than torch's": (
        sample_of(third, NUMBERS.bfloat16()),
        third(NUMBERS.bfloat16().float()).bfloat16(),
    ),
    "a sum of many integers": (
        sample_of(summed, COUNTS),
        summed(COUNTS) + torch.tensor([0.0, 1e-4]),
    ),
    "the same NaN": (sample_of(torch.sqrt, NUMBERS), NUMBERS.sqrt()),
}
LARGE: dict[str, tuple[Sample, Any]] = {
    "a digit of float32": (sample_of(torch.exp, NUMBERS), NUMBERS.exp() * (1 + 1e-4)),
    "three units of bfloat16": (
        sample_of(third, NUMBERS.bfloat16()),
        third(NUMBERS.bfloat16()) * (1 + 3 * UNIT),
    ),
    "an integer": (sample_of(torch.abs, COUNTS), COUNTS + torch.eye(7, dtype=torch.int64)[0]),
    "a NaN less": (sample_of(torch.sqrt, NUMBERS), NUMBERS.abs().sqrt()),
    "an infinity": (sample_of(torch.abs, NUMBERS), NUMBERS.abs() / (NUMBERS > -3)),
    "another dtype": (sample_of(torch.exp, NUMBERS), NUMBERS.exp().double()),
    "another shape": (sample_of(torch.exp, NUMBERS), NUMBERS.exp()[None]),
    "one result too many": (sample_of(torch.abs, COUNTS), [COUNTS, COUNTS]),
}


@pytest.mark.parametrize("name", SMALL)
def test_torchs_own_uncertainty_passes(name: str) -> None:
    sample, got = SMALL[name]
    assert disagreement(sample, got, undefined=set()) is None


@pytest.mark.parametrize("name", LARGE)
def test_a_real_difference_does_not(name: str) -> None:
    sample, got = LARGE[name]
    assert disagreement(sample, got, undefined=set())


def test_what_empty_holds_is_not_compared() -> None:
    sample = sample_of(torch.empty_like, NUMBERS)
    assert disagreement(sample, NUMBERS, undefined={0}) is None
    assert disagreement(sample, NUMBERS[:3], undefined={0})


def test_random_numbers_are_told_from_wrong_ones() -> None:
    assert repeatable(sample_of(torch.exp, NUMBERS))
    assert not repeatable(sample_of(torch.rand_like, NUMBERS))
