"""The lowerings, one module a family; importing this package fills the table."""

from sdbackends.engines.jax.lowering import (
    activation,
    attention,
    conv,
    create,
    elementwise,
    embedding,
    fft,
    linear,
    norm,
    pad,
    pick,
    reduce,
    resize,
    shape,
)
from sdbackends.engines.jax.lowering.registry import LOWERINGS, Lowering

__all__ = [
    "LOWERINGS",
    "Lowering",
    "activation",
    "attention",
    "conv",
    "create",
    "elementwise",
    "embedding",
    "fft",
    "linear",
    "norm",
    "pad",
    "pick",
    "reduce",
    "resize",
    "shape",
]
