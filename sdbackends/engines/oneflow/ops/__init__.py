"""The lowerings, one module a family; importing this package fills the table."""

from sdbackends.engines.oneflow.ops import (
    activation,
    attention,
    conv,
    elementwise,
    embedding,
    factory,
    indexing,
    linear,
    logic,
    norm,
    pad,
    reduce,
    resize,
    shape,
    unary,
)
from sdbackends.engines.oneflow.ops.registry import LOWERINGS

__all__ = [
    "LOWERINGS",
    "activation",
    "attention",
    "conv",
    "elementwise",
    "embedding",
    "factory",
    "indexing",
    "linear",
    "logic",
    "norm",
    "pad",
    "reduce",
    "resize",
    "shape",
    "unary",
]
