"""One copy of the weights: torch's parameters and JAX's arrays over the same memory.

A weight that JAX can read as it stands is shared. One that must stand otherwise (a convolution's
kernel as HWIO, memory that is not aligned) is written anew once, and the torch parameter is pointed
at a strided view of the new memory: torch keeps working on it, an edit in place reaches the
compiled program at once, and a second program over the same model finds it ready. `restore` gives
every such parameter a plain tensor of its own again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import ref

import jax
import torch

from sdbackends.capture.graph import Graph, Node, Ref
from sdbackends.engines.jax.choices import Choices
from sdbackends.engines.jax.exchange import on_same_device, shareable, to_jax
from sdbackends.engines.jax.layout import Array, inverse

Order = tuple[int, ...]
_CONVOLUTIONS = frozenset(
    {"aten.conv2d.default", "aten.conv2d.padding", "aten.convolution.default"}
)


@dataclass(frozen=True)
class Bound:
    """One weight as a program holds it.

    Attributes:
        shared: the array is the tensor's memory, so an edit in place needs nothing.
    """

    array: Array
    shared: bool
    pointer: int
    version: int
    strides: tuple[int, ...]

    def still_true_for(self, tensor: torch.Tensor) -> bool:
        same = tensor.data_ptr() == self.pointer and tensor.stride() == self.strides
        return same and (self.shared or tensor._version == self.version)


class WeightStore:
    """All weights that one engine has laid out anew."""

    def __init__(self, device: jax.Device) -> None:
        self.device = device
        # By identity: tensors compare element by element.
        self._moved: dict[int, tuple[ref[torch.Tensor], Order]] = {}

    def orders(
        self, graph: Graph, weights: Mapping[str, torch.Tensor], choices: Choices
    ) -> list[Order]:
        """How each weight of the graph is to stand; one that an earlier program moved stays."""
        kernels = _kernels(graph)
        orders: list[Order] = []
        for value in graph.weights:
            tensor = weights[value.key]
            wanted = choices.kernel_order if value.name in kernels else _plain(tensor)
            orders.append(self._moved_order(tensor) or wanted)
        return orders

    def bind(
        self,
        tensors: Sequence[torch.Tensor],
        orders: Sequence[Order],
        before: Sequence[Bound] | None = None,
    ) -> list[Bound]:
        """Arrays for the tensors; those of `before` that still hold are kept."""
        bound: list[Bound] = []
        ties = _ties(tensors)
        for i, (tensor, order) in enumerate(zip(tensors, orders, strict=True)):
            if before is not None and before[i].still_true_for(tensor):
                bound.append(before[i])
            else:
                bound.append(self._bind(tensor, order, ties.get(_memory(tensor), [tensor])))
        return bound

    def restore(self) -> None:
        """Give every moved parameter contiguous memory of its own; ties stay ties."""
        alive = [tensor for known, _ in self._moved.values() if (tensor := known()) is not None]
        for tensors in _ties(alive).values():
            plain = tensors[0].detach().clone(memory_format=torch.contiguous_format)
            for tensor in tensors:
                tensor.data = plain
        self._moved.clear()

    def _bind(self, tensor: torch.Tensor, order: Order, tied: list[torch.Tensor]) -> Bound:
        turned = tensor.detach().permute(inverse(order))
        if not shareable(turned, self.device) and self._movable(tensor):
            buffer = turned.clone(memory_format=torch.contiguous_format)
            for one in tied:
                one.data = buffer.permute(order)
                self._moved[id(one)] = (ref(one, self._forget(id(one))), order)
            turned = tensor.detach().permute(inverse(order))
        shared = shareable(turned, self.device)
        array = to_jax(turned, self.device)
        return Bound(array, shared, tensor.data_ptr(), tensor._version, tensor.stride())

    def _moved_order(self, tensor: torch.Tensor) -> Order | None:
        known = self._moved.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def _forget(self, identity: int) -> Callable[[object], None]:
        return lambda _: self._moved.pop(identity, None) and None

    def _movable(self, tensor: torch.Tensor) -> bool:
        """Only what JAX will then share: the same device, a dtype that needs no narrowing."""
        probe = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        ours = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.numel() > 1
        free = not tensor.is_inference() and tensor.is_leaf
        return (
            ours and free and on_same_device(tensor, self.device) and shareable(probe, self.device)
        )


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


def _plain(tensor: torch.Tensor) -> Order:
    return tuple(range(tensor.dim()))


def _memory(tensor: torch.Tensor) -> tuple[object, ...]:
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def _ties(tensors: Sequence[torch.Tensor]) -> dict[tuple[object, ...], list[torch.Tensor]]:
    """Tensors that are one and the same memory, seen in the same way."""
    groups: dict[tuple[object, ...], list[torch.Tensor]] = {}
    for tensor in tensors:
        group = groups.setdefault(_memory(tensor), [])
        if not any(tensor is other for other in group):
            group.append(tensor)
    return groups
