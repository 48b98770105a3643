"""Fourier transforms, and the complex numbers that go in and out of them.

Models meet complex numbers in FreeU's filter and in some rotary embeddings, as a detour between two
real tensors. `COMPLEX` names the ops that may have such a result; any other is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers

#: Ops with a complex result that were held against torch on complex numbers.
COMPLEX = frozenset(
    f"aten.{name}"
    for name in (
        *("_fft_c2c.default", "_fft_r2c.default", "complex.default", "polar.default"),
        *("view_as_complex.default", "_to_copy.default", "clone.default", "mul.Tensor"),
        *("index_select.default", "slice.Tensor", "select.int", "cat.default"),
        *("view.default", "permute.default", "expand.default"),
        *("unsqueeze.default", "squeeze.dims", "alias.default", "constant_pad_nd.default"),
        *("index.Tensor", "split_with_sizes.default", "where.self", "full.default"),
    )
) | {"getitem"}
#: torch's numbers for none, the root of the length and the length, as what the way forward divides
#: by; the way back divides by the other one.
_FORWARD = ("backward", "ortho", "forward")
_BACK = ("forward", "ortho", "backward")


@lowers("aten._fft_c2c.default")
def fft_c2c(x: Array, dim: Sequence[int], normalization: int, forward: bool) -> Array:
    if forward:
        return jnp.fft.fftn(x, axes=dim, norm=_FORWARD[normalization])
    return jnp.fft.ifftn(x, axes=dim, norm=_BACK[normalization])


@lowers("aten._fft_r2c.default")
def fft_r2c(x: Array, dim: Sequence[int], normalization: int, onesided: bool) -> Array:
    """One-sided: without the half of the last axis that follows from the other."""
    transform = jnp.fft.rfftn if onesided else jnp.fft.fftn
    return transform(x, axes=dim, norm=_FORWARD[normalization])


@lowers("aten._fft_c2r.default")
def fft_c2r(x: Array, dim: Sequence[int], normalization: int, last_dim_size: int) -> Array:
    sizes = [*(x.shape[d] for d in dim[:-1]), last_dim_size]
    return jnp.fft.irfftn(x, sizes, axes=dim, norm=_BACK[normalization])


@lowers("aten.view_as_real.default")
def view_as_real(x: Array) -> Array:
    return jnp.stack([x.real, x.imag], -1)


@lowers("aten.view_as_complex.default")
def view_as_complex(x: Array) -> Array:
    return jax.lax.complex(x[..., 0], x[..., 1])


@lowers("aten.complex.default")
def complex(real: Array, imag: Array) -> Array:
    return jax.lax.complex(*jnp.broadcast_arrays(real, imag))


@lowers("aten.polar.default")
def polar(abs: Array, angle: Array) -> Array:
    return complex(abs * jnp.cos(angle), abs * jnp.sin(angle))
