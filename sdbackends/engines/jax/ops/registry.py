"""JAX's table of lowerings, and the decorators that fill it.

A lowering is named as its op and has the arguments of ATen's schema, less those that only place a
tensor (device, memory format). It works on JAX arrays; with `layouts=True` it takes and returns
`TaggedArray` values itself, and with `choices=True` it is given the `JaxOptions` as a keyword. With
`only_if=` it takes only some arguments (see `lowering.table.Condition`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sdbackends.engines.jax.layout import CHANNELS_LAST, TaggedArray, in_order, logical, with_order
from sdbackends.engines.jax.options import JaxOptions
from sdbackends.engines.lowering.table import Condition, Lowering, LoweringTable

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class JaxLowering(Lowering):
    """One entry of the table."""

    layouts: bool = False
    choices: bool = False

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], choices: JaxOptions) -> Any:
        if not self.layouts:
            args = tuple(untagged(a) for a in args)
            kwargs = {name: untagged(value) for name, value in kwargs.items()}
        if self.choices:
            kwargs = {**kwargs, "choices": choices}
        return self.function(*args, **kwargs)


LOWERINGS: LoweringTable[JaxLowering] = LoweringTable()


def lowers(
    *overloads: str, layouts: bool = False, choices: bool = False, only_if: Condition | None = None
) -> Callable[[Function], Function]:
    """Register a function for these overloads ("aten.group_norm.default")."""

    def register(function: Function) -> Function:
        LOWERINGS.add(overloads, JaxLowering(function, only_if, layouts, choices))
        return function

    return register


def elementwise(*overloads: str) -> Callable[[Function], Function]:
    """Register a function that works element by element: a layout passes through it unchanged."""

    def register(function: Function) -> Function:
        lowers(*overloads, layouts=True)(_same_order(function))
        return function

    return register


def untagged(value: Any) -> Any:
    """`value` with every `TaggedArray` in it brought into the graph's own order."""
    if isinstance(value, TaggedArray):
        return logical(value)
    if isinstance(value, (list, tuple)):
        return type(value)(untagged(v) for v in value)
    return value


def _same_order(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bring all tensors of a call into the order of the first tagged one, and tag the result."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        ndim = max((v.ndim for v in values if hasattr(v, "ndim")), default=0)
        orders = [v.order for v in values if isinstance(v, TaggedArray) and v.ndim == ndim]
        if not orders:
            return function(*map(untagged, args), **{k: untagged(v) for k, v in kwargs.items()})
        # Channels-last wins over any other order: it is what the convolutions around want.
        order = CHANNELS_LAST if CHANNELS_LAST in orders else orders[0]

        def ready(value: Any) -> Any:
            if not hasattr(value, "ndim") or value.ndim == 0:
                return value
            if value.ndim < ndim:
                plain = logical(value)
                value = plain.reshape((1,) * (ndim - plain.ndim) + plain.shape)
            return in_order(value, order)

        result = function(*map(ready, args), **{k: ready(v) for k, v in kwargs.items()})
        return with_order(result, order)

    return call
