"""The table of lowerings: the full name of an ATen overload to the function that stands for it.

A lowering is named as its op and has the arguments of ATen's schema, less those that only place a
tensor (device, memory format). It works on OneFlow tensors, eager ones and those of an `nn.Graph`
that is being built alike. With `spec=True` it is given what torch recorded of its (first) result as
the keyword `spec`, because OneFlow promotes dtypes in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sdbackends.capture.graph import TensorSpec

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Lowering:
    """One entry of the table."""

    function: Callable[..., Any]
    spec: bool

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], spec: TensorSpec) -> Any:
        if self.spec:
            kwargs = {**kwargs, "spec": spec}
        return self.function(*args, **kwargs)


LOWERINGS: dict[str, Lowering] = {}


def lowers(*overloads: str, spec: bool = False) -> Callable[[Function], Function]:
    """Register a function for these overloads ("aten.group_norm.default")."""

    def register(function: Function) -> Function:
        for overload in overloads:
            assert overload not in LOWERINGS, overload
            LOWERINGS[overload] = Lowering(function, spec)
        return function

    return register
