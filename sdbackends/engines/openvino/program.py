"""One captured graph, compiled by OpenVINO with its weights as constants.

A weight that is edited costs a compilation. Some scripts edit theirs before every call; their
programs take the weights as arguments in the end, which OpenVINO then lays out for its kernels at
each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from sdbackends.capture.graph import Graph
from sdbackends.engines.base import Program
from sdbackends.engines.openvino.runtime import ov
from sdbackends.engines.openvino.tensors import readable, shared
from sdbackends.engines.weight_copies import CompiledInWeight, Copies
from sdbackends.errors import RunError
from sdbackends.utils import fork_safety
from sdbackends.utils.error_text import in_all_words

Tensors = Mapping[str, torch.Tensor]
#: After so many compilations in a row that served one call each the weights are arguments.
_IN_VAIN = 2


class Compile(Protocol):
    def __call__(
        self, graph: Graph, weights: Tensors | None, constants: Tensors
    ) -> ov.CompiledModel:
        """Compile the graph over the values that the weights have now; None: for arguments."""


class OpenvinoProgram(Program):
    """A compiled model, compiled again before it answers when a weight was edited or replaced."""

    def __init__(
        self, graph: Graph, weights: Tensors, constants: Tensors, compile: Compile
    ) -> None:
        self._graph, self._constants, self._compile = graph, constants, compile
        self._dtypes = [getattr(torch, spec.dtype) for spec in graph.output_specs()]
        self._lock = fork_safety.reentrant_lock()
        self._calls = self._in_vain = 0
        self._closed = self._takes_weights = False
        self._request: ov.InferRequest | None = None
        self._copies = Copies([])
        self.rebind(weights)
        self._renewed()

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        device = inputs[0].device if inputs else torch.device("cpu")
        with self._lock:
            request = self._renewed()
            self._calls += 1
            weights = self._weights.values() if self._takes_weights else ()
            given = [readable(tensor) for tensor in (*inputs, *weights)]
            try:
                for place, tensor in enumerate(given):
                    request.set_input_tensor(place, shared(tensor))
                request.infer()
            except RuntimeError as error:
                raise RunError(
                    "the OpenVINO program failed",
                    why=in_all_words(error),
                    fix="a smaller batch or size, or SD_BACKEND=torch",
                ) from error
            # Copies: the next call writes its results into the same memory.
            return [
                torch.from_numpy(request.get_output_tensor(place).data).to(device, dtype, copy=True)
                for place, dtype in enumerate(self._dtypes)
            ]

    def rebind(self, weights: Tensors) -> None:
        with self._lock:
            self._weights = {value.key: weights[value.key] for value in self._graph.weights}
            self._copies = Copies(map(CompiledInWeight, self._weights.values()))

    def close(self) -> None:
        with self._lock:
            self._request, self._weights, self._copies = None, {}, Copies([])
            self._closed = True

    def _renewed(self) -> ov.InferRequest:
        """Return the request of a model compiled with the values that the weights have now."""
        if self._closed:
            raise RunError(
                "this program was closed",
                why="its engine was switched off",
                fix="build it again",
            )
        is_edited = not self._takes_weights and self._copies.renew()
        if self._request is not None and not is_edited:
            return self._request
        self._in_vain = self._in_vain + 1 if self._calls == 1 else 0
        self._calls = 0
        self._takes_weights = self._in_vain == _IN_VAIN
        self._request = None  # two at a time would take twice the memory
        weights = None if self._takes_weights else self._weights
        self._request = self._compile(self._graph, weights, self._constants).create_infer_request()
        return self._request
