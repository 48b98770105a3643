"""A captured graph as a function over OneFlow tensors.

On eager tensors a call is the replay of the model; inside `nn.Graph.build` it is what builds the
graph. The interpreter checks shapes because OneFlow aborts the process on some bad ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdbackends.capture.graph import Graph, Node
from sdbackends.engines.lowering.interpreter import GraphInterpreter
from sdbackends.engines.oneflow.dtypes import DTYPES
from sdbackends.engines.oneflow.ops import LOWERINGS
from sdbackends.engines.oneflow.ops.tensors import Tensor, placed
from sdbackends.engines.oneflow.ops.unary import to_copy


class OneflowInterpreter(GraphInterpreter):
    """Works on tensors that are all on `device`."""

    of_inputs = (IndexError,)  # a position that an input gives is out of range

    def __init__(self, graph: Graph, device: Any) -> None:
        super().__init__(graph)
        self.device = device

    def __call__(
        self, weights: Sequence[Tensor], constants: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> list[Tensor]:
        with placed(self.device):
            return super().__call__(weights, constants, inputs)

    def lower(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        spec = node.results[0]
        assert spec is not None, node.op
        return LOWERINGS[node.op](args, kwargs, spec)

    def dtype(self, name: str) -> Any:
        return DTYPES[name]

    def dtype_argument(self, name: str) -> Any:
        """None for one that OneFlow lacks: what a node gives is cast to the recorded dtype."""
        return DTYPES.get(name)

    def cast(self, value: Tensor, dtype: Any) -> Tensor:
        return to_copy(value, dtype)
