"""The layout tag: views, permutations and cuts of tagged values are what numpy says they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.engines.jax.layout import (
    CHANNELS_LAST,
    TaggedArray,
    in_order,
    logical,
    permuted,
    reshaped,
    stored,
    with_order,
)
from sdbackends.engines.jax.ops import shape as ops
from tests.engines.calls import Call, rand
from tests.engines.programs import built, worst


def tagged(plain: np.ndarray, order: tuple[int, ...]) -> TaggedArray:
    inverse = np.argsort(order)
    return TaggedArray(np.transpose(plain, inverse), tuple(order))  # type: ignore[arg-type]


def same(value: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(logical(value)), expected)  # type: ignore[arg-type]


@st.composite
def tagged_arrays(draw: st.DrawFn) -> tuple[np.ndarray, TaggedArray]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    plain = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    return plain, tagged(plain, tuple(draw(st.permutations(range(len(sizes))))))


@settings(max_examples=60, deadline=None)
@given(tagged_arrays(), st.data())
def test_any_view_of_any_layout(both: tuple[np.ndarray, TaggedArray], data: st.DataObject) -> None:
    plain, value = both
    factors = [f for size in plain.shape for f in ([2, 2] if size == 4 else [size])]
    cuts = data.draw(st.lists(st.booleans(), min_size=len(factors), max_size=len(factors)))
    shape: list[int] = []
    for factor, apart in zip(factors, cuts, strict=True):
        if apart or not shape:
            shape.append(factor)
        else:
            shape[-1] *= factor
    same(reshaped(value, shape), plain.reshape(shape))


@settings(max_examples=40, deadline=None)
@given(tagged_arrays(), st.data())
def test_permutations_slices_and_squeezes(
    both: tuple[np.ndarray, TaggedArray], data: st.DataObject
) -> None:
    plain, value = both
    dims = data.draw(st.permutations(range(plain.ndim)))
    dim = data.draw(st.integers(-plain.ndim, plain.ndim - 1))
    same(permuted(value, dims), np.transpose(plain, dims))
    same(ops.slice(value, dim, 1, 99), np.take(plain, range(1, plain.shape[dim]), dim))
    same(ops.select(value, dim, -1), np.take(plain, -1, dim))
    same(ops.unsqueeze(value, dim), np.expand_dims(plain, dim))
    same(ops.squeeze(value, range(plain.ndim)), np.squeeze(plain))
    same(ops.cat([value, plain], dim), np.concatenate([plain, plain], dim))


def test_the_unets_own_chain_moves_nothing() -> None:
    """(n, c, h, w) to rows of pixels, and back: what every attention block does."""
    image = with_order(np.zeros((2, 5, 7, 3)), CHANNELS_LAST)  # type: ignore[arg-type]
    flat = reshaped(image, (2, 3, 35))
    rows = permuted(flat, (0, 2, 1))
    assert not isinstance(rows, TaggedArray)
    assert np.shares_memory(rows, stored(image))
    back = permuted(reshaped(rows, (2, 5, 7, 3)), (0, 3, 1, 2))
    assert isinstance(back, TaggedArray) and back.order == CHANNELS_LAST
    again = reshaped(permuted(rows, (0, 2, 1)), (2, 3, 5, 7))
    assert isinstance(again, TaggedArray) and again.order == CHANNELS_LAST
    assert in_order(again, CHANNELS_LAST) is again.array


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_a_chain_through_every_op_that_carries_the_tag(layout: str) -> None:
    class Chain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(4, 8, 3, padding=1)
            self.norm = torch.nn.GroupNorm(4, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            y = torch.cat([y, torch.sin(x).repeat(1, 2, 1, 1)], dim=1)
            y = self.norm(y) + x.mean((2, 3), keepdim=True).repeat(1, 4, 1, 1)
            first, second = y.split([10, 6], dim=1)
            y = torch.nn.functional.pad(first[:, 2:8, :-1], (1, 0)) + second[..., 1:, :].mean()
            n, c, h, w = y.shape
            y = y * torch.arange(c * h * w).view(1, c, h, w) / 100 + y[0].sum(0)
            return y.permute(0, 2, 3, 1).reshape(n, h * w, c).softmax(-1).transpose(1, 2)

    from sdbackends.engines.base import EngineContext

    engine = JaxEngine(EngineContext({"layout": layout}, "cpu"))
    call = Call(Chain().eval().requires_grad_(False), (rand(2, 4, 6, 7),))
    expected = call.eager()
    _, program = built(engine, call)
    assert worst(list(program(call.tensors())), [expected]) < 1e-5
