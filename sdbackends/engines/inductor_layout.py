"""Channels-last kernels for inductor, without touching the model's own.

On a CPU inductor computes convolutions channels-last and would turn every kernel again at each
call. Dynamo hands weights to the graph as inputs: `with_channels_last` has the graph compiled for
channels-last ones, and wraps the compiled callable so that it is called with copies in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch

from sdbackends.capture.placeholders import is_weight
from sdbackends.engines.weight_copies import (
    Copies,
    Memory,
    WeightCopy,
    memory_of,
    one_at_a_time,
    version_of,
)

Compiled = Callable[..., Any]


def with_channels_last(
    graph: torch.fx.GraphModule, inputs: Sequence[Any]
) -> tuple[list[Any], Callable[[Compiled], Compiled]]:
    """Lay out the kernels of 2-D convolutions.

    Args:
        graph: what Dynamo gives to a backend; the examples that it carries are changed.
        inputs: the examples that come with it.

    Returns:
        The examples to compile with, and a function that makes of the compiled callable one that
        takes what Dynamo calls it with: a `ProgramOnCopies`, or the callable itself where there is
        no kernel.
    """
    inputs = list(inputs)
    places = []
    for place, node in enumerate(graph.graph.find_nodes(op="placeholder")):
        if _is_kernel(node):
            # Turned as a fake: a real example would be given symbolic sizes of its own.
            example = node.meta["example_value"]
            with example.fake_mode, torch.no_grad():
                turned = example.detach().contiguous(memory_format=torch.channels_last)
            inputs[place] = node.meta["example_value"] = turned
            places.append(place)

    def wrap(compiled: Compiled) -> Compiled:
        return ProgramOnCopies(compiled, places) if places else compiled

    return inputs, wrap


class ProgramOnCopies:
    """A compiled graph that is called with the live weights and given the copies.

    Dynamo keeps it for ever (its map of generated code goes round in a circle): who lets a program
    go calls `close`, which gives the copies back.
    """

    def __init__(self, compiled: Compiled, places: Sequence[int]) -> None:
        self._compiled = compiled
        self._places = places
        self._seen: list[Any] = []
        self._copies: list[ChannelsLast] = []
        self._watched = Copies([])

    def __call__(self, *args: Any) -> Any:
        given = list(args)
        weights = [given[place] for place in self._places]
        seen = [(id(w), w.data_ptr(), w.stride(), version_of(w)) for w in weights]
        with one_at_a_time:
            if seen != self._seen:
                self._copies = [_copy_of(weight) for weight in weights]
                self._watched = Copies(self._copies)
                self._seen = seen
            self._watched.renew()
            for place, copy in zip(self._places, self._copies, strict=True):
                given[place] = copy.buffer
        return self._compiled(*given)

    def close(self) -> None:
        self._seen, self._copies, self._watched = [], [], Copies([])


class ChannelsLast(WeightCopy):
    """A kernel in the order that inductor's convolutions want."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor)
        with torch.inference_mode(False):  # a tensor made in it could not be written outside
            self.buffer = torch.empty_like(self.live, memory_format=torch.channels_last)

    def write(self) -> None:
        self.buffer.copy_(self.live)


#: One for the programs of all sizes; none that no program reads.
_copies: WeakValueDictionary[Memory, ChannelsLast] = WeakValueDictionary()


def _copy_of(tensor: torch.Tensor) -> ChannelsLast:
    memory = memory_of(tensor)
    copy = _copies.get(memory)
    if copy is None:
        copy = _copies[memory] = ChannelsLast(tensor)
    copy.add_owner(tensor)
    return copy


def _is_kernel(node: torch.fx.Node) -> bool:
    """Whether it is a weight of the model, read by 2-D convolutions and by nothing else."""
    example = node.meta.get("example_value")
    return (
        is_weight(node)
        and isinstance(example, torch._subclasses.FakeTensor)
        and example.dim() == 4
        and not example.is_contiguous(memory_format=torch.channels_last)
        and not (example.requires_grad and torch.is_grad_enabled())
        and bool(node.users)
        and all(_reads_as_kernel(user, node) for user in node.users)
    )


def _reads_as_kernel(user: torch.fx.Node, kernel: torch.fx.Node) -> bool:
    if user.target is not torch.nn.functional.conv2d:
        return False
    places = [i for i, given in enumerate(user.args) if given is kernel]
    names = [name for name, given in user.kwargs.items() if given is kernel]
    return (places, names) in (([1], []), ([], ["weight"]))
