"""The `nn.Graph`s of a worker, those in use and those that wait for their return.

OneFlow never gives back what an `nn.Graph` on a CPU computed with, also not when the graph is
destroyed: a program that is dropped and built again would cost its memory each time. So a graph
that is closed waits here, and the same graph over the same weights is that one again. A few wait;
what was destroyed after all stays on the bill.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdbackends.capture.graph import Graph
from sdbackends.engines.oneflow import memory
from sdbackends.engines.oneflow.programs import GraphProgram

Arrays = Sequence[np.ndarray]
#: Waiting graphs keep their weights' pages, also after torch's process let go of them.
WAITING = 32
WAITING_WEIGHTS = 2 * 10**9


@dataclass
class Pool:
    """What may wait, and what all of it holds.

    Attributes:
        broken: why no further `nn.Graph` may be compiled in this process; "" if one may.
    """

    broken: str = ""
    _taken: int = 0
    _keys: dict[int, Hashable] = field(default_factory=dict)
    _waiting: OrderedDict[Hashable, tuple[GraphProgram, int]] = field(default_factory=OrderedDict)

    @property
    def taken(self) -> int:
        """Bytes that OneFlow holds for graphs, by their estimates."""
        return self._taken

    def key(self, graph: Graph, weights: Arrays, constants: Arrays) -> Hashable:
        """Equal keys, equal programs: weights by where they stand, constants by their values."""
        places = tuple(array.__array_interface__["data"][0] for array in weights)
        return graph.hash(), places, tuple(array.tobytes() for array in constants)

    def returning(self, key: Hashable) -> GraphProgram | None:
        """The graph that waits under this key, in use from now on."""
        found = self._waiting.pop(key, None)
        return found[0] if found else None

    def enter(self, key: Hashable, compiled: GraphProgram, estimate: int) -> None:
        """A new graph, in use."""
        self._keys[id(compiled)] = key
        self._taken += estimate

    def leave(self, compiled: GraphProgram) -> None:
        """A graph that is not in use any more; told twice is told once."""
        waits = any(compiled is other for other, _ in self._waiting.values())
        if waits or compiled.material is None:
            return
        size = sum(memory.size_of(value.spec) for value in compiled.material.graph.weights)
        key = self._keys[id(compiled)]
        if key in self._waiting or compiled.material.device.type != "cpu":
            self._destroy(compiled)  # a GPU's copies of the weights may be out of date
            return
        self._waiting[key] = (compiled, size)
        while len(self._waiting) > WAITING or self._weights() > WAITING_WEIGHTS:
            _, (oldest, _) = self._waiting.popitem(last=False)
            self._destroy(oldest)

    def _weights(self) -> int:
        return sum(size for _, size in self._waiting.values())

    def _destroy(self, compiled: GraphProgram) -> None:
        del self._keys[id(compiled)]
        compiled.destroy()
