"""Write a captured graph as the `torch.fx.GraphModule` that OpenVINO's front end reads.

The weights become attributes of the module, which the front end takes as constants over torch's own
memory, or further inputs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.fx.passes.shape_prop import TensorMetadata

from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, TorchConstant, Value
from sdbackends.engines.lowering.interpreter import PLACING
from sdbackends.engines.openvino.support import LOWERINGS

Tensors = Mapping[str, torch.Tensor]


def fx_module(graph: Graph, weights: Tensors | None, constants: Tensors) -> torch.fx.GraphModule:
    """Return a module with one placeholder for each input, and a tuple of the graph's tensors.

    Args:
        weights: by the `key` of the graph's weights; read when the module is converted. None: they
            are placeholders after the inputs, in the graph's order.
        constants: the same for its constants.
    """
    return _Writer(graph).module(weights, constants)


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._fx = torch.fx.Graph()
        #: Of an op with several results that was rewritten, the tuple of them.
        self._values: dict[str, Any] = {}

    def module(self, weights: Tensors | None, constants: Tensors) -> torch.fx.GraphModule:
        graph = self._graph
        for value in (*graph.inputs, *(graph.weights if weights is None else ())):
            self._enter(value.name, self._fx.placeholder(value.name), value.spec)
        root = torch.nn.Module()
        if weights is not None:
            self._attributes(root, "weight", graph.weights, weights)
        self._attributes(root, "constant", graph.constants, constants)
        for node in graph.nodes:
            spec = None if node.several else node.results[0]
            self._enter(node.name, self._write(node), spec)
        self._fx.output(tuple(self._outputs()))
        self._fx.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        return torch.fx.GraphModule(root, self._fx)

    def _outputs(self) -> Iterator[torch.fx.Node]:
        """Each a node of its own: the front end refuses one tensor under two names."""
        specs = self._graph.output_specs()
        names = [output.name for output in self._graph.outputs if isinstance(output, Ref)]
        for name, spec in zip(names, specs, strict=True):
            same = {"dtype": getattr(torch, spec.dtype)}
            yield self._emit(torch.ops.aten._to_copy.default, self._values[name], **same)

    def _attributes(
        self, root: torch.nn.Module, kind: str, values: tuple[Value, ...], tensors: Tensors
    ) -> None:
        for number, value in enumerate(values):
            name = f"{kind}_{number}"
            tensor = tensors[value.key].detach().cpu()
            # Conjugate and negative views say in a bit what their memory is to be taken for.
            root.register_buffer(name, tensor.resolve_conj().resolve_neg().contiguous())
            self._enter(value.name, self._fx.get_attr(name), value.spec)

    def _enter(self, name: str, node: Any, spec: TensorSpec | None) -> None:
        if spec is not None:
            dtype = getattr(torch, spec.dtype)
            node.meta.update(shape=spec.shape, dtype=dtype)
            node.meta["tensor_meta"] = TensorMetadata(
                torch.Size(spec.shape), dtype, False, (), None, False, {}
            )
        self._values[name] = node

    def _write(self, node: Node) -> Any:
        args = [self._argument(argument) for argument in node.args]
        if node.op == "getitem":
            # Of an op that was rewritten the results are known one by one.
            taken = isinstance(args[0], tuple)
            return args[0][args[1]] if taken else self._emit(operator.getitem, *args)
        kwargs = {k: self._argument(v) for k, v in node.kwargs.items() if k not in PLACING}
        return LOWERINGS[node.op].function(self._emit, *args, **kwargs)

    def _emit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.fx.Node:
        return self._fx.call_function(function, args, kwargs)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, Ref):
            return self._values[argument.name]
        if isinstance(argument, (list, tuple)):
            return [self._argument(one) for one in argument]
        if isinstance(argument, TorchConstant):
            return getattr(torch, argument.name) if argument.kind == "dtype" else None
        return argument
