"""A captured graph as a function over tensors of an engine's framework.

`GraphInterpreter` walks the nodes once. Every node goes to its lowering, and its result is held
against what the graph recorded: a wrong shape is an error, the dtype is enforced, because
frameworks promote dtypes differently from torch. A value is let go after its last use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant
from sdbackends.errors import BuildError
from sdbackends.utils.error_text import in_all_words

#: Arguments that say where a tensor lives; a program lives in one place.
PLACING = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})
_FIX = "the model runs on eager torch instead; please report it with this message"


class GraphInterpreter(ABC):
    """Weights, constants and inputs in, the graph's outputs out, in the graph's order.

    Attributes:
        of_inputs: exceptions of a lowering that say what is wrong with the inputs of this call;
            they are raised as they are, with the place. Any other is a `BuildError`.
    """

    of_inputs: tuple[type[Exception], ...] = ()

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        kept = {output.name for output in graph.outputs if isinstance(output, Ref)}
        self._last_uses: dict[str, list[str]] = {}
        for name, users in graph.users().items():
            if name not in kept:
                self._last_uses.setdefault(users[-1].name, []).append(name)

    def __call__(
        self, weights: Sequence[Any], constants: Sequence[Any], inputs: Sequence[Any]
    ) -> list[Any]:
        """Return one tensor for each output of the graph that is a `Ref`.

        Raises:
            BuildError: a lowering failed, or gave another shape than torch.
        """
        graph = self.graph
        values: dict[str, Any] = {}
        groups = ((graph.weights, weights), (graph.constants, constants), (graph.inputs, inputs))
        for outside, tensors in groups:
            values.update((v.name, t) for v, t in zip(outside, tensors, strict=True))
        for node in graph.nodes:
            values[node.name] = self._run(node, values)
            for name in self._last_uses.get(node.name, ()):
                del values[name]
        return [values[o.name] for o in graph.outputs if isinstance(o, Ref)]

    @abstractmethod
    def lower(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the node's lowering; what it gives is checked by the caller."""

    @abstractmethod
    def dtype(self, name: str) -> Any:
        """Return the framework's dtype for torch's name of one ("float32")."""

    def dtype_argument(self, name: str) -> Any:
        """Return what stands for a dtype among a node's arguments."""
        return self.dtype(name)

    @abstractmethod
    def cast(self, value: Any, dtype: Any) -> Any:
        """Return the tensor in this dtype of the framework."""

    def number(self, value: int) -> int:
        """Return an integer argument as the framework takes it."""
        return value

    def _run(self, node: Node, values: Mapping[str, Any]) -> Any:
        args = tuple(self._argument(a, values) for a in node.args)
        if node.op == "getitem":
            return args[0][args[1]]
        kwargs = {k: self._argument(v, values) for k, v in node.kwargs.items() if k not in PLACING}
        try:
            result = self.lower(node, args, kwargs)
        except self.of_inputs as error:
            raise type(error)(f"{error} ({node.op} in {node.site or node.name})") from None
        except Exception as error:
            raise BuildError(
                f"the lowering of {node.op} failed",
                where=node.site or node.name,
                why=_shortened(in_all_words(error)),
                fix=_FIX,
            ) from error
        if not node.several:
            return self._as_recorded(result, node.results[0], node)
        return [
            self._as_recorded(one, spec, node)
            for one, spec in zip(result, node.results, strict=True)
        ]

    def _argument(self, argument: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(argument, Ref):
            return values[argument.name]
        if isinstance(argument, (list, tuple)):
            return tuple(self._argument(a, values) for a in argument)
        if isinstance(argument, TorchConstant):
            return self.dtype_argument(argument.name) if argument.kind == "dtype" else None
        return self.number(argument) if type(argument) is int else argument

    def _as_recorded(self, result: Any, spec: TensorSpec | None, node: Node) -> Any:
        assert spec is not None, node.op
        if tuple(result.shape) != spec.shape:
            raise BuildError(
                f"the lowering of {node.op} is wrong",
                where=node.site or node.name,
                why=f"it gives the shape {tuple(result.shape)}, torch gives {spec.shape}",
                fix=_FIX,
            )
        return self.cast(result, self.dtype(spec.dtype))


def _shortened(text: str) -> str:
    """Messages of frameworks carry pages of operator configuration."""
    text = " ".join(text.split())
    return text if len(text) <= 500 else f"{text[:300]} … {text[-200:]}"
