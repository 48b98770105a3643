"""The weights of a program as JAX arrays: shared with torch where JAX can read them as they stand.

The parameters themselves are never touched. A weight that JAX cannot read in place (a convolution's
kernel is wanted as HWIO, its memory is not aligned, its dtype is narrowed, it is on another device)
is copied, once for all programs that want it in the same order; `engines/weight_copies.py` notices
when it was edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import jax
import torch

from sdbackends.capture.graph import Graph, Node, Ref
from sdbackends.engines.jax import copying
from sdbackends.engines.jax.dlpack import NARROWED, narrowed, on_same_device, shareable, to_jax
from sdbackends.engines.jax.layout import Array, inverse
from sdbackends.engines.jax.options import JaxOptions
from sdbackends.engines.weight_copies import Copies, Memory, WeightCopy, memory_of, one_at_a_time

Order = tuple[int, ...]
_CONVOLUTIONS = frozenset({"aten.conv2d.default", "aten.convolution.default"})


@dataclass(frozen=True)
class Shared:
    """A weight that torch and JAX see in the same memory; an edit in place needs nothing."""

    array: Array
    memory: Memory


class Copied(WeightCopy):
    """A weight in another order, dtype or place.

    Attributes:
        array: what JAX reads. It is over memory of ours that is written again after an edit, or,
            where JAX cannot share that (another device), a new array after each.
    """

    array: Array

    def __init__(self, tensor: torch.Tensor, order: Order, device: jax.Device) -> None:
        super().__init__(tensor)
        self._axes = inverse(order)
        self._turned = self.live.permute(self._axes)
        self._device = device
        self._buffer: torch.Tensor | None = None
        if on_same_device(tensor, device):
            self._allocate()

    def write(self) -> None:
        if self._buffer is None:
            self.array = to_jax(self._turned, self._device)
        else:
            copying.copy(narrowed(self._turned), self._buffer)
            if self._buffer.device.type == "cuda":
                torch.cuda.current_stream(self._buffer.device).synchronize()

    def _allocate(self) -> None:
        dtype = NARROWED.get(self._turned.dtype, self._turned.dtype)
        with torch.inference_mode(False):  # a tensor made in it could not be written outside
            buffer = copying.empty(self._turned.shape, dtype, self._turned.device)
        array = to_jax(buffer, self._device)
        if buffer.numel() and array.unsafe_buffer_pointer() == buffer.data_ptr():
            self._buffer, self.array = buffer, array


Weight = Shared | Copied


class JaxWeightStore:
    """Makes the arrays of one engine's programs; keeps no copy that no program reads."""

    def __init__(self, device: jax.Device) -> None:
        self.device = device
        self._copies: WeakValueDictionary[tuple[Memory, Order], Copied] = WeakValueDictionary()

    def bind(
        self,
        tensors: Sequence[torch.Tensor],
        orders: Sequence[Order],
        before: Sequence[Weight] = (),
    ) -> list[Weight]:
        """Arrays for the tensors, with their values of now; what `before` still holds is kept."""
        known = {weight.memory: weight for weight in before if isinstance(weight, Shared)}
        with one_at_a_time:
            bound = [
                self._bind(tensor, order, known)
                for tensor, order in zip(tensors, orders, strict=True)
            ]
            copies_in(bound).renew()
        return bound

    def _bind(self, tensor: torch.Tensor, order: Order, known: dict[Memory, Shared]) -> Weight:
        memory = memory_of(tensor)
        turned = tensor.detach().permute(inverse(order))
        if shareable(turned, self.device):
            return known.get(memory) or Shared(to_jax(turned, self.device), memory)
        copy = self._copies.get((memory, order))
        if copy is None:
            copy = self._copies[memory, order] = Copied(tensor, order, self.device)
        copy.add_owner(tensor)
        return copy


def copies_in(weights: Sequence[Weight]) -> Copies:
    """Those of the weights that a program must look at before it answers."""
    return Copies(weight for weight in weights if isinstance(weight, Copied))


def orders(graph: Graph, choices: JaxOptions) -> list[Order]:
    """How each weight of the graph is to stand."""
    kernels = _kernels(graph)
    return [
        choices.kernel_order if value.name in kernels else tuple(range(len(value.spec.shape)))
        for value in graph.weights
    ]


def _kernels(graph: Graph) -> set[str]:
    """Names of the weights that are read by 2-D convolutions as their kernel, and by nothing else.

    A 1x1 kernel is a matrix as it stands.
    """
    users = graph.users()
    found: set[str] = set()
    for value in graph.weights:
        shape = value.spec.shape
        readers = users.get(value.name, [])
        wide = len(shape) == 4 and shape[2:] != (1, 1)
        if wide and readers and all(_reads_as_kernel(node, value.name) for node in readers):
            found.add(value.name)
    return found


def _reads_as_kernel(node: Node, name: str) -> bool:
    transposed = node.op == "aten.convolution.default" and bool(node.args[6])
    other = [a for i, a in enumerate(node.args) if i != 1]
    return (
        node.op in _CONVOLUTIONS
        and not transposed
        and node.args[1] == Ref(name)
        and Ref(name) not in other
    )
