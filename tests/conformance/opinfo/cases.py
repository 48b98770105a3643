"""Arguments for overloads that no OpInfo sample reaches, drawn by hypothesis.

Every strategy gives the positional and the keyword arguments of one call. Shapes are small and
odd; numbers come from a drawn seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st

Call = tuple[tuple[Any, ...], dict[str, Any]]
Draw = Callable[[st.SearchStrategy[Any]], Any]

FLOATS = (torch.float32, torch.bfloat16)
ALL = (*FLOATS, torch.int64)
sizes = st.integers(1, 5)
shapes = st.lists(sizes, min_size=1, max_size=4)
seeds = st.integers(0, 2**31)


def filled(shape: list[int], dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) > 0.3
    return (torch.randn(shape, generator=generator) * 4).to(dtype)


def tensors(
    shape: st.SearchStrategy[list[int]] = shapes, dtypes: tuple[torch.dtype, ...] = FLOATS
) -> st.SearchStrategy[torch.Tensor]:
    return st.builds(filled, shape, st.sampled_from(dtypes), seeds)


def image_shapes() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 6), min_size=4, max_size=4)


@st.composite
def with_dim(draw: Draw, dtypes: tuple[torch.dtype, ...], *rest: Any) -> Call:
    """A tensor, one of its dims, and further arguments (strategies or values)."""
    x = draw(tensors(dtypes=dtypes))
    dim = draw(st.integers(-x.dim(), x.dim() - 1))
    return (x, dim, *(_drawn(draw, one) for one in rest)), {}


@st.composite
def plain(draw: Draw, *args: Any, **kwargs: Any) -> Call:
    """Independent arguments (strategies or values)."""
    named = {name: _drawn(draw, one) for name, one in kwargs.items()}
    return tuple(_drawn(draw, one) for one in args), named


@st.composite
def turned(draw: Draw) -> Call:
    """A tensor whose memory is in another order."""
    x = draw(tensors(dtypes=ALL))
    return (x.permute(draw(st.permutations(range(x.dim())))),), {}


@st.composite
def normed(draw: Draw) -> Call:
    x = draw(tensors(image_shapes()))
    channels = [x.shape[1]]
    mean, spread = (filled(channels, x.dtype, draw(seeds)) for _ in range(2))
    affine = draw(st.sampled_from([(None, None), (spread, mean), (spread, None)]))
    return (x, *affine, mean, spread.abs() + 0.5, 0.1, 1e-5), {}


@st.composite
def scaled(draw: Draw) -> Call:
    """A new size or, in its place, factors."""
    x = draw(tensors(image_shapes()))
    size = draw(st.lists(st.integers(1, 13), min_size=2, max_size=2))
    factors = draw(st.lists(st.sampled_from([1.0, 1.5, 2.0, 2.7, 3.0]), min_size=2, max_size=2))
    return (x, *draw(st.sampled_from([(size, None), (None, factors)]))), {}


@st.composite
def scattered(draw: Draw) -> Call:
    x = draw(tensors(dtypes=ALL))
    dim = draw(st.integers(-x.dim(), x.dim() - 1))
    shape = [draw(st.integers(1, size)) for size in x.shape]
    index = filled(shape, torch.int64, draw(seeds)) % x.shape[dim]
    return (x, dim, index, draw(st.integers(-3, 3))), {}


@st.composite
def paired(draw: Draw) -> Call:
    """Complex numbers, made of real ones."""
    shape = draw(shapes)
    real, imaginary = (filled(shape, torch.float32, draw(seeds)) for _ in range(2))
    return (torch.complex(real, imaginary),), {}


def _drawn(draw: Draw, value: Any) -> Any:
    return draw(value) if isinstance(value, st.SearchStrategy) else value


_ints = tensors(dtypes=(torch.int64,))
_bools = tensors(dtypes=(torch.bool,))
_bits = plain(_ints, st.integers(-9, 9)) | plain(_bools, st.booleans())
_numbers = st.sampled_from([-3.0, -0.5, 0.25, 2.0])
CASES: dict[str, st.SearchStrategy[Call]] = {
    "aten._native_batch_norm_legit_no_training.default": normed(),
    "aten._softmax.default": with_dim(FLOATS, False),
    "aten.bitwise_and.Scalar": _bits,
    "aten.bitwise_or.Scalar": _bits,
    "aten.bitwise_xor.Scalar": _bits,
    "aten.bitwise_xor.Tensor": plain(
        _bools, st.builds(filled, st.just([]), st.just(torch.bool), seeds)
    ),
    "aten.div.Scalar_mode": plain(
        tensors(), _numbers, rounding_mode=st.sampled_from([None, "floor", "trunc"])
    ),
    "aten.lift_fresh_copy.default": turned(),
    "aten.scatter.value": scattered(),
    "aten.sub.Scalar": plain(tensors(), _numbers, st.sampled_from([1, 2])),
    "aten.upsample_nearest2d.vec": scaled(),
    "aten.view_as_real.default": paired(),
}
