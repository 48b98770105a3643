"""One call through the front end, with what Dynamo traced in it."""

from __future__ import annotations

from typing import Any

import torch

from sdbackends.capture.dynamo_graph import DynamoGraph
from sdbackends.capture.front_end import TracedModel
from sdbackends.capture.replaced import call_originals


class Eager:
    """Answers a graph of Dynamo's with eager torch."""

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        self._graph = graph
        self.ran = 0

    def __call__(self, *args: Any) -> Any:
        self.ran += 1
        return self._graph(*args)

    def close(self) -> None: ...


class Traced:
    """A model's calls through Dynamo; `graphs` are all that it traced, `new` those of a call."""

    def __init__(self, module: torch.nn.Module, *, strict: bool = True) -> None:
        self.module = module
        self.graphs: list[DynamoGraph] = []
        self._programs: list[Eager] = []
        self._model = TracedModel(self._backend, dynamic=False, strict=strict)

    def __call__(self, *args: Any, may_trace: bool = True, **kwargs: Any) -> Any:
        before = len(self.graphs)
        with torch.no_grad():
            result, self.record = self._model(
                self.module, args, kwargs, inner=False, may_trace=may_trace
            )
        self.new = len(self.graphs) - before
        return result

    def ran(self) -> int:
        """How often programs ran, of all calls so far."""
        return sum(program.ran for program in self._programs)

    def _backend(self, graph: torch.fx.GraphModule, inputs: Any) -> Eager:
        call_originals(graph)
        self.graphs.append(DynamoGraph(graph, inputs))
        self._programs.append(Eager(graph))
        return self._programs[-1]


def graph_of(module: torch.nn.Module, *args: Any, **kwargs: Any) -> DynamoGraph:
    """The one graph of one call."""
    traced = Traced(module)
    traced(*args, **kwargs)
    (graph,) = traced.graphs
    return graph
