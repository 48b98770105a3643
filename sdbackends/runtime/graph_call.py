"""Run an engine's program in the place of one of Dynamo's graphs.

Live arguments in, the graph's results out, as eager torch would give them: weights that changed are
bound anew, arguments that the graph changes in place are changed, results that are views of an
argument are views of the live one, and the rest has the strides that eager torch gives. What the
engine returns is held against the graph first, so that a failure leaves nothing half done.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sdbackends.capture.dynamo_graph import DynamoGraph, View
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import Ref
from sdbackends.capture.positions import positions
from sdbackends.engines.base import Program
from sdbackends.errors import PositionError
from sdbackends.runtime.result_check import check

_data_ptr = torch.Tensor.data_ptr
_version = operator.attrgetter("_version")


class GraphCall:
    """A program behind the arguments and results of a `DynamoGraph`.

    Args:
        weights: the live weights, in the order of `graph.weights`, to which the program is bound.
    """

    def __init__(
        self,
        graph: DynamoGraph,
        capture: Capture,
        program: Program,
        weights: Sequence[torch.Tensor],
    ) -> None:
        self.program = program
        self._weights = _picker(graph.weights)
        self._inputs = _picker(graph.inputs)
        self._keys = [value.key for value in capture.graph.weights]
        self._specs = capture.graph.output_specs()
        self._positions = positions(capture.graph)
        self._mutated = capture.mutated
        self._outputs = capture.graph.outputs
        self._results = _Results(graph.views, graph.strides())
        self._bound = tuple(weights)
        self._state = _state(self._bound)

    @property
    def changes_arguments(self) -> bool:
        return bool(self._mutated)

    def __call__(self, *args: torch.Tensor) -> tuple[Any, ...]:
        """Run with the live arguments, in the order of the graph's placeholders.

        Raises:
            PositionError: an input is out of range, as eager torch will say.
            SdError: the program failed, or returned what the graph does not say. Nothing was
                changed.
        """
        self._bind(self._weights(args))
        inputs = self._inputs(args)
        for position in self._positions:
            if fault := position.fault(inputs):
                raise PositionError("an input is out of range", why=fault)
        given = list(self.program(inputs))
        device = inputs[0].device if inputs else None
        check(given, self._specs, device)
        tensors = iter(given)
        values = [next(tensors) if isinstance(o, Ref) else o for o in self._outputs]
        for place, value in zip(self._mutated, values, strict=False):
            args[place].copy_(value)
        return self._results.made(args, values[len(self._mutated) :])

    def close(self) -> None:
        self._bound = ()
        self.program.close()

    def _bind(self, weights: tuple[torch.Tensor, ...]) -> None:
        """Tell the program of weights that are others, lie elsewhere or were edited."""
        same = len(weights) == len(self._bound) and all(map(operator.is_, weights, self._bound))
        state = _state(weights)
        if same and state == self._state:
            return
        self.program.rebind(dict(zip(self._keys, weights, strict=True)))
        self._bound, self._state = weights, state


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Takes the arguments at these places; a model has hundreds of weights."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda args: tuple(args[place] for place in places)


class _Results:
    """Makes a graph's results from the values of its outputs."""

    def __init__(self, views: dict[int, View], strides: list[tuple[int, ...] | None]) -> None:
        self._views = views
        self._strides = strides

    def made(self, args: Sequence[torch.Tensor], values: Sequence[Any]) -> tuple[Any, ...]:
        made = list(values)
        for position, (value, stride) in enumerate(zip(values, self._strides, strict=True)):
            if position in self._views or stride is None or value.stride() == stride:
                continue
            empty = torch.empty_strided(value.shape, stride, dtype=value.dtype, device=value.device)
            made[position] = empty.copy_(value)
        for position, view in self._views.items():
            base = made[view.base] if view.of_result else args[view.base]
            made[position] = _as_view(base, view)
        return tuple(made)


def _as_view(base: torch.Tensor, view: View) -> torch.Tensor:
    if view.whole:
        return base
    return base.as_strided(view.size, view.stride, base.storage_offset() + view.offset)


def _state(weights: Sequence[torch.Tensor]) -> tuple[list[int], list[int]]:
    """Where each weight lies, and how often it was written to.

    Tensors of inference mode count no writes.
    """
    try:
        versions = list(map(_version, weights))
    except RuntimeError:
        versions = [-1 if w.is_inference() else w._version for w in weights]
    return list(map(_data_ptr, weights)), versions
