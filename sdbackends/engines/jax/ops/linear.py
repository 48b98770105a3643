"""Matrix products."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax.ops.registry import lowers
from sdbackends.engines.jax.options import JaxOptions


@lowers("aten.linear.default", choices=True)
def linear(x: Array, weight: Array, bias: Array | None = None, *, choices: JaxOptions) -> Array:
    """The weight stays (out, in) as torch has it: XLA's dot is as fast that way round.

    The bias is added before a 16-bit result is rounded, as torch does.
    """
    y = choices.dot(x, weight, contract=weight.ndim - 1)
    return y if bias is None else y + bias


@lowers("aten.addmm.default", choices=True)
def addmm(
    x: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1, choices: JaxOptions
) -> Array:
    return _weighted(x, choices.dot(mat1, mat2), beta, alpha)


def _weighted(x: Array, product: Array, beta: float, alpha: float) -> Array:
    """With beta 0 torch does not read `x` at all, which may hold NaN from `empty`."""
    if jnp.issubdtype(product.dtype, jnp.integer):  # torch cuts the factors of integers
        beta, alpha = int(beta), int(alpha)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else (x if beta == 1 else x * beta) + product


@lowers("aten.mm.default", "aten.mv.default", "aten.dot.default", choices=True)
def mm(x: Array, mat2: Array, *, choices: JaxOptions) -> Array:
    return choices.dot(x, mat2)


@lowers("aten.bmm.default", "aten.matmul.default", choices=True)
def matmul(x: Array, other: Array, *, choices: JaxOptions) -> Array:
    return jnp.matmul(
        x,
        other,
        precision=choices.precision(x.dtype),
        preferred_element_type=choices.accumulator(x.dtype),
    )


@lowers("aten.baddbmm.default", choices=True)
def baddbmm(
    x: Array,
    batch1: Array,
    batch2: Array,
    *,
    beta: float = 1,
    alpha: float = 1,
    choices: JaxOptions,
) -> Array:
    return _weighted(x, matmul(batch1, batch2, choices=choices), beta, alpha)


@lowers("aten.einsum.default", choices=True)
def einsum(equation: str, tensors: list[Array], *, choices: JaxOptions) -> Array:
    dtype = tensors[0].dtype
    return jnp.einsum(
        equation,
        *tensors,
        precision=choices.precision(dtype),
        preferred_element_type=choices.accumulator(dtype),
    )


@lowers("aten.outer.default")
def outer(x: Array, vec2: Array) -> Array:
    return lax.mul(*jnp.broadcast_arrays(x[:, None], vec2[None, :]))
