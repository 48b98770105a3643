"""OneFlow's table of lowerings, and the decorator that fills it.

A lowering is named as its op and has the arguments of ATen's schema, less those that only place a
tensor (device, memory format). It works on OneFlow tensors, eager ones and those of an `nn.Graph`
that is being built alike. With `spec=True` it is given what torch recorded of its (first) result as
the keyword `spec`, because OneFlow promotes dtypes in its own way. With `only_if=` it takes only
some arguments (see `lowering.table.Condition`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.lowering.table import Condition, Lowering, LoweringTable

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class OneflowLowering(Lowering):
    """One entry of the table."""

    spec: bool = False

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], spec: TensorSpec) -> Any:
        if self.spec:
            kwargs = {**kwargs, "spec": spec}
        return self.function(*args, **kwargs)


LOWERINGS: LoweringTable[OneflowLowering] = LoweringTable()


def lowers(
    *overloads: str, spec: bool = False, only_if: Condition | None = None
) -> Callable[[Function], Function]:
    """Register a function for these overloads ("aten.group_norm.default")."""

    def register(function: Function) -> Function:
        LOWERINGS.add(overloads, OneflowLowering(function, only_if, spec))
        return function

    return register
