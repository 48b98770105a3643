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
def reshaped(draw: Draw) -> Call:
    x = draw(tensors(dtypes=ALL))
    shape = draw(st.permutations([*x.shape, 1]))
    return (x, draw(st.sampled_from([list(shape), [-1], [x.shape[0], -1]]))), {}


@st.composite
def turned(draw: Draw) -> Call:
    """A tensor whose memory is in another order."""
    x = draw(tensors(dtypes=ALL))
    return (x.permute(draw(st.permutations(range(x.dim())))),), {}


@st.composite
def several_dims(draw: Draw) -> Call:
    x = draw(tensors(dtypes=(torch.bool, *ALL)))
    dims = draw(st.lists(st.integers(0, x.dim() - 1), unique=True, max_size=x.dim()))
    return (x, dims or None, draw(st.booleans())), {}


@st.composite
def masked(draw: Draw) -> Call:
    """The mask may be smaller than the tensor."""
    x = draw(tensors(dtypes=ALL))
    shape = [size if draw(st.booleans()) else 1 for size in x.shape]
    return (x, filled(shape, torch.bool, draw(seeds)), filled([], x.dtype, draw(seeds))), {}


@st.composite
def normed(draw: Draw) -> Call:
    x = draw(tensors(image_shapes()))
    channels = [x.shape[1]]
    mean, spread = (filled(channels, x.dtype, draw(seeds)) for _ in range(2))
    affine = draw(st.sampled_from([(None, None), (spread, mean), (spread, None)]))
    return (x, *affine, mean, spread.abs() + 0.5, False, 0.1, 1e-5, True), {}


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
def convolved(draw: Draw, dims: int, *rest: Any) -> Call:
    """Kernels and groups that fit the image; the further arguments are a number for each dim."""
    groups = draw(st.sampled_from([1, 2]))
    kernel = draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims))
    size = [2 * k + draw(st.integers(0, 4)) for k in kernel]
    x = draw(tensors(st.just([2, 2 * groups, *size])))
    weight = filled([3 * groups, 2, *kernel], x.dtype, draw(seeds))
    bias = draw(st.sampled_from([None, filled([3 * groups], x.dtype, 1)]))
    given = [_drawn(draw, one) for one in rest]
    each = [one if isinstance(one, str) else [one] * dims for one in given]
    return (x, weight, bias, *each, groups), {}


@st.composite
def transposed(draw: Draw, dims: int) -> Call:
    groups, stride = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3))
    x = draw(tensors(st.lists(sizes, min_size=dims, max_size=dims).map(lambda s: [2, 4, *s])))
    weight = filled([4, 3, *[3] * dims], x.dtype, draw(seeds))
    padding, extra = draw(st.integers(0, 1)), draw(st.integers(0, stride - 1))
    form = ([value] * dims for value in (stride, padding, extra))
    return (x, weight, None, *form, groups), {}


@st.composite
def bordered(draw: Draw, dims: int) -> Call:
    """Widths below the size, as reflection needs it."""
    x = draw(tensors(st.lists(st.integers(3, 5), min_size=dims + 1, max_size=dims + 2)))
    return (x, draw(st.lists(st.integers(0, 2), min_size=2 * dims, max_size=2 * dims))), {}


@st.composite
def blended(draw: Draw) -> Call:
    x = draw(tensors())
    end, weight = (filled(list(x.shape), x.dtype, draw(seeds)) for _ in range(2))
    return (x, end, weight), {}


@st.composite
def normed_without_switches(draw: Draw) -> Call:
    (x, weight, bias, mean, spread, *_), _ = draw(normed())
    return (x, weight, bias, mean, spread, 0.1, 1e-5), {}


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
    "aten._native_batch_norm_legit_no_training.default": normed_without_switches(),
    "aten._softmax.default": with_dim(FLOATS, False),
    "aten._unsafe_view.default": reshaped(),
    "aten._upsample_nearest_exact2d.vec": scaled(),
    "aten.all.dim": with_dim((torch.bool, *ALL), st.booleans()),
    "aten.all.dims": several_dims(),
    "aten.arange.start": plain(st.integers(-9, 9), st.integers(10, 20)),
    "aten.batch_norm.default": normed(),
    "aten.bitwise_and.Scalar": _bits,
    "aten.bitwise_or.Scalar": _bits,
    "aten.bitwise_xor.Scalar": _bits,
    "aten.bitwise_xor.Tensor": plain(
        _bools, st.builds(filled, st.just([]), st.just(torch.bool), seeds)
    ),
    "aten.chunk.default": plain(tensors(dtypes=ALL), st.integers(1, 4)),
    "aten.clamp_max.default": plain(tensors(), _numbers),
    "aten.contiguous.default": turned(),
    "aten.conv1d.padding": convolved(1, 1, st.sampled_from(["same", "valid"]), st.integers(1, 2)),
    "aten.conv2d.padding": convolved(2, 1, st.sampled_from(["same", "valid"]), st.integers(1, 2)),
    "aten.conv3d.default": convolved(3, st.integers(1, 2), st.integers(0, 2), 1),
    "aten.conv3d.padding": convolved(3, 1, st.sampled_from(["same", "valid"]), st.integers(1, 2)),
    "aten.conv_transpose1d.default": transposed(1),
    "aten.detach.default": turned(),
    "aten.div.Scalar_mode": plain(
        tensors(), _numbers, rounding_mode=st.sampled_from([None, "floor", "trunc"])
    ),
    "aten.eye.m": plain(sizes, sizes),
    "aten.fill.Tensor": plain(
        tensors(dtypes=ALL), st.builds(filled, st.just([]), st.just(torch.float32), seeds)
    ),
    "aten.floor_divide.Scalar": plain(_ints, st.sampled_from([-3, 2, 5])),
    "aten.lerp.Tensor": blended(),
    "aten.lift_fresh_copy.default": turned(),
    "aten.masked_fill.Tensor": masked(),
    "aten.reflection_pad1d.default": bordered(1),
    "aten.reflection_pad2d.default": bordered(2),
    "aten.replication_pad1d.default": bordered(1),
    "aten.replication_pad2d.default": bordered(2),
    "aten.replication_pad3d.default": bordered(3),
    "aten.reshape.default": reshaped(),
    "aten.scatter.value": scattered(),
    "aten.sub.Scalar": plain(tensors(), _numbers, st.sampled_from([1, 2])),
    "aten.to.dtype": plain(tensors(dtypes=ALL), st.sampled_from(ALL)),
    "aten.upsample_nearest2d.default": plain(
        tensors(image_shapes()), st.lists(st.integers(1, 13), min_size=2, max_size=2)
    ),
    "aten.upsample_nearest2d.vec": scaled(),
    "aten.view_as_real.default": paired(),
}
