"""Matrix products."""

from __future__ import annotations

import jax.numpy as jnp

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
    """With beta 0 torch does not read `x` at all, which may hold NaN from `empty`."""
    product = choices.dot(mat1, mat2)
    if jnp.issubdtype(product.dtype, jnp.integer):  # torch cuts the factors of integers
        beta, alpha = int(beta), int(alpha)
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else (x if beta == 1 else x * beta) + product


@lowers("aten.mm.default", choices=True)
def mm(x: Array, mat2: Array, *, choices: JaxOptions) -> Array:
    return choices.dot(x, mat2)


@lowers("aten.bmm.default", choices=True)
def bmm(x: Array, other: Array, *, choices: JaxOptions) -> Array:
    return jnp.matmul(
        x,
        other,
        precision=choices.precision(x.dtype),
        preferred_element_type=choices.accumulator(x.dtype),
    )
