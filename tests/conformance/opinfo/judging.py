"""Whether an engine's results are torch's.

Shapes and dtypes are equal, and so are integers, booleans, infinities and the places of NaN.
Floating numbers agree with torch to the tolerance of their dtype, or else are at most one and a
half times as far from the truth as torch's own are; the truth is torch in the next wider dtype, or
its own result where the sample is of integers, which have none.
float32 sums may also be four units in the last place of the largest value away, because in which
order they are added is nobody's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.utils import _pytree as pytree

from tests.conformance.opinfo.database import Sample

#: rtol and atol. float32 and float16: torch.testing's own; float64 is float32 inside an engine;
#: bfloat16: one unit in the last place.
TOLERANCES = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (2**-7, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1.3e-6, 1e-5),
}
SHARE = 1.5
UNITS = 4
_WIDER = {torch.bfloat16: torch.float32, torch.float32: torch.float64}

Leaves = list[Any]


def disagreement(sample: Sample, got: Any, undefined: set[int]) -> str | None:
    """What is wrong with the result `got` of this sample, or None.

    `undefined` are the places among the results whose values torch leaves open (`empty`).
    """
    ours, theirs = _leaves(got), _eager(sample)
    if len(ours) != len(theirs):
        return f"{len(ours)} results, torch has {len(theirs)}"

    def truth(place: int) -> torch.Tensor | None:
        wider = _WIDER.get(sample.dtype)
        return None if wider is None else _eager(sample.in_dtype(wider))[place]

    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if not isinstance(other, torch.Tensor):
            wrong = None if one == other else f"{one!r}, torch has {other!r}"
        else:
            wrong = _wrong(one, other, lambda place=place: truth(place), place in undefined)
        if wrong:
            return f"result {place}: {wrong}"
    return None


def repeatable(sample: Sample) -> bool:
    """Whether torch agrees with itself whatever the seed: not so if the op draws random numbers.

    Some OpInfos set a seed of their own in each call.
    """
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with mock.patch.object(torch, "manual_seed"):
            results.append(_eager(sample))
    return all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(*results, strict=True)
    )


def _eager(sample: Sample) -> Leaves:
    with torch.no_grad():
        return _leaves(sample.call([tensor.clone() for tensor in sample.tensors()]))


def _leaves(result: Any) -> Leaves:
    """Complex numbers as pairs of real ones."""
    return [
        torch.view_as_real(leaf.resolve_conj())
        if isinstance(leaf, torch.Tensor) and leaf.is_complex()
        else leaf
        for leaf in pytree.tree_leaves(result)
    ]


def _wrong(
    got: torch.Tensor,
    expected: torch.Tensor,
    truth: Callable[[], torch.Tensor | None],
    undefined: bool,
) -> str | None:
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        have, want = (f"{x.dtype}{list(x.shape)}" for x in (got, expected))
        return f"{have}, torch has {want}"
    if undefined or got.numel() == 0:
        return None
    if not got.is_floating_point():
        return None if torch.equal(got, expected) else _words(got, expected)
    rtol, atol = TOLERANCES[got.dtype]
    if torch.allclose(got, expected, rtol=rtol, atol=atol, equal_nan=True):
        return None
    exact = truth()
    if exact is None or not exact.is_floating_point():
        exact = expected.double()
    return _too_far(got.to(exact.dtype), expected.to(exact.dtype), exact)


def _too_far(got: torch.Tensor, expected: torch.Tensor, exact: torch.Tensor) -> str | None:
    finite = expected.isfinite()
    if not torch.equal(got[~finite].nan_to_num(0.5), expected[~finite].nan_to_num(0.5)):
        return _words(got, expected)
    if not (finite == exact.isfinite()).all() or not got[finite].isfinite().all():
        return _words(got, expected)
    got, expected, exact = got[finite], expected[finite], exact[finite]
    ours, theirs = (float((x - exact).abs().max()) for x in (got, expected))
    units = UNITS * torch.finfo(torch.float32).eps if exact.dtype == torch.float64 else 0.0
    if ours <= max(SHARE * theirs, units * float(exact.abs().max())):
        return None
    return f"{_words(got, expected)}; {ours:.2g} from the truth, torch {theirs:.2g}"


def _words(got: torch.Tensor, expected: torch.Tensor) -> str:
    """The worst pair of numbers."""
    distance = (got.double() - expected.double()).abs().nan_to_num(torch.inf).flatten()
    worst = int(distance.argmax())
    pair = f"{got.flatten()[worst].item()!r}, torch has {expected.flatten()[worst].item()!r}"
    return f"{pair} at {worst} of {distance.numel()}"
