"""A graph that was built in a worker, and everything that is needed to build it there again.

Weights come as places in shared memory and stay there. Constants and the exchange of inputs and
outputs are memory of the program's own. A call is: write `inputs`, `run()`, read `outputs`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from sdbackends.capture.graph import Graph, TensorSpec
from sdbackends.errors import BuildError, RunError
from sdbackends.worker.buffers import Array, Slot, allocate, view
from sdbackends.worker.protocol import Message
from sdbackends.worker.shared_memory import Segment

if TYPE_CHECKING:
    from sdbackends.worker.client import Worker

_numbers = count(1)


@dataclass(frozen=True)
class Placed:
    """An array in shared memory, contiguous; `dtype` is numpy's name."""

    segment: Segment
    offset: int
    shape: tuple[int, ...]
    dtype: str

    def slot(self) -> Slot:
        return Slot(self.segment.number, self.offset, self.shape, self.dtype)


class RemoteProgram:
    """One program of a worker; made by `Worker.build`.

    Attributes:
        report: what the engine says about it (JSON).
    """

    def __init__(
        self, worker: Worker, graph: Graph, weights: Sequence[Placed], constants: Sequence[Array]
    ) -> None:
        self.number = next(_numbers)
        self.graph = graph
        self.report: dict[str, Any] = {}
        self._worker = worker
        self._weights = tuple(weights)
        self._constants, self._constant_slots = _filled(constants, worker)
        self._exchange = Exchange(graph, worker)
        self._closed = False

    @property
    def inputs(self) -> list[Array]:
        """Write here before `run`. Ask for them at every call: a forked child gets its own."""
        return self._own_exchange().inputs

    @property
    def outputs(self) -> list[Array]:
        """Read here after `run`, and copy: the next call writes here again."""
        return self._own_exchange().outputs

    def run(self) -> None:
        """Let the worker compute `outputs` from `inputs`.

        Raises:
            RunError: the engine failed, or the worker died or hung. The next call starts a new
                worker and builds the program there again.
            BackendNotReadyError: the worker died too often and stays down, or cannot start.
        """
        if self._closed:
            raise RunError("this program was closed", fix="build it again")
        if self._exchange.owner != os.getpid():
            raise RunError(
                "the inputs of this program were written into its parent's memory",
                why="this process was forked after it was built",
                fix="ask for `inputs` and `outputs` at every call",
            )
        self._worker.run(self)

    def close(self) -> None:
        """The worker forgets the program; its memory is given back."""
        if self._closed:
            return
        self._closed = True
        self._worker.forget_program(self.number)
        self._constants.close()
        self._exchange.segment.close()

    def build_request(self) -> Message:
        """What the worker is asked to build it."""
        return {
            "do": "build",
            "program": self.number,
            "graph": self.graph.to_json(),
            "weights": [placed.slot().to_json() for placed in self._weights],
            "constants": [slot.to_json() for slot in self._constant_slots],
            "inputs": [slot.to_json() for slot in self._exchange.input_slots],
            "outputs": [slot.to_json() for slot in self._exchange.output_slots],
        }

    def segments(self) -> list[Segment]:
        """All shared memory that the worker needs to build it."""
        shared = [placed.segment for placed in self._weights]
        return [*shared, self._constants, self._exchange.segment]

    def _own_exchange(self) -> Exchange:
        """The exchange; in a forked child a new one, because the parent still uses the old."""
        if self._closed:
            raise RunError("this program was closed", fix="build it again")
        if self._exchange.owner != os.getpid():
            self._exchange = Exchange(self.graph, self._worker)
        return self._exchange


class Exchange:
    """The memory through which inputs and outputs of one program go."""

    def __init__(self, graph: Graph, worker: Worker) -> None:
        inputs = [value.spec for value in graph.inputs]
        try:
            self.segment, slots = allocate([*inputs, *graph.output_specs()], worker.segment)
        except ValueError as error:
            raise BuildError(
                f"the {worker.spec.name} worker cannot take this model",
                why=str(error),
                fix="another precision, SD_PRECISION=fp32",
            ) from None
        self.owner = os.getpid()
        self.input_slots, self.output_slots = slots[: len(inputs)], slots[len(inputs) :]
        self.inputs = [view(self.segment, slot) for slot in self.input_slots]
        self.outputs = [view(self.segment, slot) for slot in self.output_slots]


def _filled(arrays: Sequence[Array], worker: Worker) -> tuple[Segment, list[Slot]]:
    """Copies of the arrays in shared memory."""
    specs = [TensorSpec(array.shape, array.dtype.name) for array in arrays]
    segment, slots = allocate(specs, worker.segment)
    for array, slot in zip(arrays, slots, strict=True):
        view(segment, slot)[...] = array
    return segment, slots
