"""Programs of inductor in which the weights are constants, built anew when a weight was edited.

Some pipelines bring their autoencoder to float32 for every picture, and back: its weights stand
elsewhere each time. After some builds such a graph is compiled with its weights as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sdbackends.engines.weight_copies import CompiledInWeight, Copies, Memory, memory_of
from sdbackends.utils import fork_safety

Compiled = Callable[..., Any]
#: New builds of one graph, before its weights are no constants any more.
_NEW_BUILDS = 2


class Frozen:
    """A compiled graph that holds the values of its weights.

    Args:
        compile: compiles the graph for the arguments that it is given.
        compile_open: the same, with the weights as arguments.
        inputs: the arguments to begin with.
        places: which of them are weights.
    """

    def __init__(
        self,
        compile: Callable[[list[Any]], Compiled],
        compile_open: Callable[[list[Any]], Compiled],
        inputs: list[Any],
        places: Sequence[int],
    ) -> None:
        self._lock = fork_safety.reentrant_lock()
        self._compile, self._compile_open = compile, compile_open
        self._places = places
        self._new_builds = 0
        self._build(inputs)

    def __call__(self, *args: Any) -> Any:
        with self._lock:
            if self._new_builds <= _NEW_BUILDS and self._is_edited(args):
                self._new_builds += 1
                if self._new_builds <= _NEW_BUILDS:
                    self._build(list(args))
                else:
                    self.close()
                    self._compiled = self._compile_open(list(args))
            compiled = self._compiled
        return compiled(*args)

    def _is_edited(self, args: Sequence[Any]) -> bool:
        weights = [memory_of(args[place]) for place in self._places]
        return weights != self._seen or self._noted.renew()

    def close(self) -> None:
        self._seen.clear()
        self._noted = Copies([])

    def _build(self, args: list[Any]) -> None:
        weights = [args[place] for place in self._places]
        self._seen: list[Memory] = [memory_of(weight) for weight in weights]
        self._noted = Copies(map(CompiledInWeight, weights))
        self._noted.renew()
        self._compiled = self._compile(args)
