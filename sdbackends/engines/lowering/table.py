"""The table of an engine's lowerings: the full name of an ATen overload to what stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sdbackends.capture.graph import Node, Ref, TensorSpec

#: Called with a node's arguments, tensors as `TensorSpec`: "" if the lowering takes them, else why
#: it does not, in words that follow the op's name in a message.
Condition = Callable[..., str]


@dataclass(frozen=True)
class Lowering:
    """One entry of the table.

    Attributes:
        function: called as the overload is, with tensors of the engine's framework.
        only_if: which arguments it takes; None: all that torch takes.
    """

    function: Callable[..., Any]
    only_if: Condition | None = None


AnyLowering = TypeVar("AnyLowering", bound=Lowering)


class LoweringTable(dict[str, AnyLowering]):
    """All lowerings of one engine, each under one or several overloads."""

    def add(self, overloads: Iterable[str], lowering: AnyLowering) -> None:
        """Register `lowering` for overloads ("aten.group_norm.default") that have none yet."""
        for overload in overloads:
            assert overload not in self, overload
            self[overload] = lowering

    def refusal(self, node: Node, specs: Mapping[str, TensorSpec | None]) -> str | None:
        """Return why the engine cannot run the node, as an op report names it; None if it can.

        `specs` are those of the graph (`Graph.specs`).
        """
        if node.op == "getitem":
            return None
        lowering = self.get(node.op)
        if lowering is None:
            return node.op
        if lowering.only_if is None:
            return None
        args = [_as_spec(argument, specs) for argument in node.args]
        kwargs = {name: _as_spec(value, specs) for name, value in node.kwargs.items()}
        why = lowering.only_if(*args, **kwargs)
        return f"{node.op} ({why})" if why else None


def _as_spec(argument: Any, specs: Mapping[str, TensorSpec | None]) -> Any:
    if isinstance(argument, Ref):
        return specs[argument.name]
    if isinstance(argument, (list, tuple)):
        return tuple(_as_spec(one, specs) for one in argument)
    return argument
