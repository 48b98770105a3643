"""The lowerings, one module a family; importing this package fills the table."""

from sdbackends.engines.jax.ops import (
    activation,
    attention,
    conv,
    elementwise,
    embedding,
    factory,
    fft,
    indexing,
    linear,
    norm,
    pad,
    reduce,
    resize,
    shape,
)
from sdbackends.engines.jax.ops.registry import LOWERINGS, Lowering

__all__ = [
    "LOWERINGS",
    "Lowering",
    "activation",
    "attention",
    "conv",
    "elementwise",
    "embedding",
    "factory",
    "fft",
    "indexing",
    "linear",
    "norm",
    "pad",
    "reduce",
    "resize",
    "shape",
]
