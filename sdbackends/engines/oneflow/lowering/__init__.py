"""The lowerings, one module a family; importing this package fills the table."""

from sdbackends.engines.oneflow.lowering import (
    activation,
    attention,
    conv,
    create,
    elementwise,
    embedding,
    linear,
    logic,
    norm,
    pad,
    pick,
    reduce,
    resize,
    shape,
    unary,
)
from sdbackends.engines.oneflow.lowering.registry import LOWERINGS, Lowering

__all__ = [
    "LOWERINGS",
    "Lowering",
    "activation",
    "attention",
    "conv",
    "create",
    "elementwise",
    "embedding",
    "linear",
    "logic",
    "norm",
    "pad",
    "pick",
    "reduce",
    "resize",
    "shape",
    "unary",
]
