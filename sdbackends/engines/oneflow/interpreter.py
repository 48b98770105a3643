"""A captured graph as a function over OneFlow tensors.

`GraphInterpreter` walks the nodes once: on eager tensors that is the replay of the model, inside
`nn.Graph.build` it is what builds the graph. Every node goes to its lowering, and its result is
held against what the graph recorded: the dtype is enforced (torch and OneFlow promote differently),
the shape is checked (OneFlow aborts the process on some bad ones). A value is let go after its last
use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant
from sdbackends.engines.oneflow.dtypes import DTYPES
from sdbackends.engines.oneflow.ops import LOWERINGS
from sdbackends.engines.oneflow.ops.tensors import Tensor, placed
from sdbackends.engines.oneflow.ops.unary import to_copy
from sdbackends.errors import BuildError
from sdbackends.utils.error_text import text_of

#: Arguments that say where a tensor lives; a program lives in one place.
_PLACING = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})


class GraphInterpreter:
    """Weights, constants and inputs in, the graph's outputs out, all of them on `device`."""

    def __init__(self, graph: Graph, device: Any) -> None:
        self.graph = graph
        self.device = device
        self._kept = {output.name for output in graph.outputs if isinstance(output, Ref)}
        self._done_with: dict[str, list[str]] = {}
        for name, users in graph.users().items():
            if name not in self._kept:
                self._done_with.setdefault(users[-1].name, []).append(name)

    def __call__(
        self, weights: Sequence[Tensor], constants: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> list[Tensor]:
        graph = self.graph
        values: dict[str, Any] = {}
        groups = ((graph.weights, weights), (graph.constants, constants), (graph.inputs, inputs))
        for outside, tensors in groups:
            values.update((v.name, t) for v, t in zip(outside, tensors, strict=True))
        with placed(self.device):
            for node in graph.nodes:
                values[node.name] = self._run(node, values)
                for name in self._done_with.get(node.name, ()):
                    del values[name]
        return [values[o.name] for o in graph.outputs if isinstance(o, Ref)]

    def _run(self, node: Node, values: Mapping[str, Any]) -> Any:
        args = tuple(_argument(a, values) for a in node.args)
        if node.op == "getitem":
            return args[0][args[1]]
        kwargs = {k: _argument(v, values) for k, v in node.kwargs.items() if k not in _PLACING}
        spec = node.results[0]
        assert spec is not None, node.op
        try:
            result = LOWERINGS[node.op](args, kwargs, spec)
        except IndexError as error:
            raise IndexError(f"{error} ({node.op} in {node.site or node.name})") from None
        except Exception as error:
            raise _failed(node, f"{type(error).__name__}: {_short(error)}") from error
        if not node.several:
            return _as_recorded(result, spec, node)
        return [
            _as_recorded(one, spec, node) for one, spec in zip(result, node.results, strict=True)
        ]


def _argument(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, (list, tuple)):
        return tuple(_argument(a, values) for a in argument)
    if isinstance(argument, TorchConstant):
        return DTYPES.get(argument.name) if argument.kind == "dtype" else None
    return argument


def _as_recorded(result: Tensor, spec: TensorSpec | None, node: Node) -> Tensor:
    assert spec is not None, node.op
    if tuple(result.shape) != spec.shape:
        raise _failed(node, f"it gives the shape {tuple(result.shape)}, torch gives {spec.shape}")
    return to_copy(result, DTYPES[spec.dtype])


def _failed(node: Node, why: str) -> BuildError:
    return BuildError(
        f"the lowering of {node.op} failed",
        where=node.site or node.name,
        why=why,
        fix="the model runs on eager torch instead; please report it with this message",
    )


def _short(error: Exception) -> str:
    """OneFlow's messages carry pages of operator configuration."""
    text = " ".join(text_of(error).split())
    return text if len(text) <= 500 else f"{text[:300]} … {text[-200:]}"
