"""What Dynamo traced, as an engine's build needs it: arguments, results, and a key of its content.

Dynamo gives a graph of torch functions whose arguments are all tensors that the traced code read:
those of the call, the model's weights, tensors in closures. `DynamoGraph` says which are weights,
which results are views of an argument (an engine computes values, so the views are made anew from
the live tensor), and describes the content of the graph in a key that is the same in every process
that traces the same computation.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

from sdbackends.capture.export import Argument, Capture, export, path_of
from sdbackends.capture.size_limit import refuse_long
from sdbackends.errors import CaptureError

#: Where functions of a graph may come from for its key to mean the same in another process.
_VERSIONED = frozenset({"torch", "builtins", "_operator", "math"})


class Unkeyed(Exception):
    """The graph holds what only this process knows, so that it cannot be kept."""


@dataclass(frozen=True)
class View:
    """A result that is a view of an argument, or of another result: `torch.as_strided` of it.

    Attributes:
        base: position of the argument or result.
        of_result: it is a result.
        offset: elements from the base's own first element.
        whole: it is the base itself.
    """

    base: int
    of_result: bool
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    whole: bool


class DynamoGraph:
    """One graph of Dynamo.

    Args:
        module: the graph as Dynamo hands it to a backend; calling it is eager torch.
        inputs: the example inputs, one for each placeholder.

    Raises:
        CaptureError: no engine can take a graph with such arguments or results.
    """

    def __init__(self, module: GraphModule, inputs: Sequence[Any]) -> None:
        refuse_long(module)
        self.module = module
        nodes = list(module.graph.nodes)
        self._placeholders = [node for node in nodes if node.op == "placeholder"]
        self._refuse(inputs, nodes)
        self.fakes: list[torch.Tensor] = [n.meta["example_value"] for n in self._placeholders]
        self.arguments = [
            _argument(node, given) for node, given in zip(self._placeholders, inputs, strict=True)
        ]
        (output,) = (node for node in nodes if node.op == "output")
        self.results: tuple[Any, ...] = tuple(output.args[0])
        self.views = self._find_views()

    @property
    def weights(self) -> list[int]:
        """Positions of the arguments that are weights."""
        return [at for at, each in enumerate(self.arguments) if each.role == "weight"]

    @property
    def inputs(self) -> list[int]:
        """Positions of the other arguments."""
        return [at for at, each in enumerate(self.arguments) if each.role == "input"]

    def export(self) -> Capture:
        """The graph of ATen ops. Results that are views of an argument are among its outputs.

        Raises:
            CaptureError: it cannot be exported.
        """
        return export(self.module, self.fakes, self.arguments)

    def strides(self) -> list[tuple[int, ...] | None]:
        """How eager torch lays each result out; None: it is no tensor, or not dense."""
        found: list[tuple[int, ...] | None] = []
        for result in self.results:
            fake = result.meta.get("example_value") if isinstance(result, Node) else None
            dense = isinstance(fake, torch.Tensor) and _is_dense(fake)
            found.append(tuple(fake.stride()) if dense and fake is not None else None)
        return found

    def key(self) -> str:
        """A hash of the computation: operations, arguments, constants, torch's settings.

        Raises:
            Unkeyed: it calls a function, or holds an object, that has no name of its own.
        """
        digest = hashlib.sha256()
        for part in self._described():
            digest.update(part.encode())
            digest.update(b"\n")
        return digest.hexdigest()

    def _described(self) -> Iterator[str]:
        yield repr(_ambient())
        for argument, fake in zip(self.arguments, self.fakes, strict=True):
            yield f"{argument.role} {_tensor(fake)}"
        yield from _graph(self.module)

    def _refuse(self, inputs: Sequence[Any], nodes: Sequence[Node]) -> None:
        for node, given in zip(self._placeholders, inputs, strict=True):
            if not isinstance(given, torch.Tensor):
                kind = type(given).__name__
                raise _cannot(f"an argument of it is a {kind}, not a tensor")
            if given.is_meta:
                raise _cannot("its weights are not in memory (offloaded by accelerate)")
            fake = node.meta.get("example_value")
            if type(given) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer) and not (
                isinstance(given, torch.Tensor) and type(fake) is torch._subclasses.FakeTensor
            ):
                raise _cannot(f"an argument of it is a {type(given).__name__}")
        for node in nodes:
            if node.target is torch._C._set_grad_enabled and node.args == (True,):
                raise _cannot("it enables gradients inside")

    def _find_views(self) -> dict[int, View]:
        """By position of the result. Two other results that overlap in memory are refused."""
        storages = {_storage(fake): at for at, fake in enumerate(self.fakes)}
        views: dict[int, View] = {}
        own: dict[int, torch.Tensor] = {}
        for position, result in enumerate(self.results):
            fake = result.meta.get("example_value") if isinstance(result, Node) else None
            if not isinstance(fake, torch.Tensor):
                continue
            at = storages.get(_storage(fake))
            if at is not None:
                whole = result is self._placeholders[at]
                views[position] = _view(fake, self.fakes[at], at, whole, of_result=False)
            else:
                own[position] = fake
        views.update(_views_of_results(own))
        return views


def _views_of_results(results: dict[int, torch.Tensor]) -> dict[int, View]:
    """Results that overlap in memory: views of the one of them that is all of that memory."""
    groups: dict[int, list[int]] = {}
    for position, fake in results.items():
        groups.setdefault(_storage(fake), []).append(position)
    views: dict[int, View] = {}
    for group in groups.values():
        pairs = itertools.combinations(group, 2)
        if not any(_overlap(results[one], results[other]) for one, other in pairs):
            continue
        whole = next((at for at in group if _is_whole(results[at])), None)
        if whole is None:
            raise _cannot("two of its results share a part of their memory")
        for position in group:
            if position != whole:
                base = results[whole]
                views[position] = _view(results[position], base, whole, False, of_result=True)
    return views


def _view(fake: torch.Tensor, base: torch.Tensor, at: int, whole: bool, *, of_result: bool) -> View:
    if fake.dtype != base.dtype or fake.is_conj() != base.is_conj():
        raise _cannot("a result of it is another tensor seen as another dtype")
    offset = int(fake.storage_offset()) - int(base.storage_offset())
    return View(at, of_result, tuple(fake.shape), tuple(fake.stride()), offset, whole)


def _is_whole(fake: torch.Tensor) -> bool:
    size = fake.numel() * fake.element_size()
    return _is_dense(fake) and size == int(fake.untyped_storage().nbytes())


def _cannot(why: str) -> CaptureError:
    return CaptureError(
        "the call cannot be captured", why=why, fix="the model runs on eager torch instead"
    )


def _argument(node: Node, given: torch.Tensor) -> Argument:
    held = node.meta.get("grapharg")
    source = getattr(held, "source", None)
    # A property since torch 2.12, a method before.
    name = getattr(source, "name", "")
    name = str(name() if callable(name) else name)
    weight = isinstance(given, torch.nn.Parameter) or "_parameters" in name or "_buffers" in name
    return Argument("weight", path_of(name)) if weight else Argument("input")


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one storage have an element in common."""
    if _storage(one) != _storage(other):
        return False
    size = int(one.untyped_storage().nbytes()) // one.element_size()
    if one.dtype != other.dtype or size > 2**28:
        return True
    marks = torch.zeros(size, dtype=torch.bool)
    for tensor, mark in ((one, True), (other, None)):
        view = marks.as_strided(tensor.shape, tensor.stride(), int(tensor.storage_offset()))
        if mark is None:
            return bool(view.any())
        view.fill_(mark)
    return False


def _is_dense(tensor: torch.Tensor) -> bool:
    """No element twice and none left out, so that the strides are an order of the axes."""
    expected = 1
    for size, stride in sorted(
        ((size, stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True)),
        key=lambda pair: (pair[1], pair[0]),
    ):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def _ambient() -> tuple[Any, ...]:
    """Settings outside the graph that change what its operations do."""
    autocast = (
        torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        for kind in ("cpu", "cuda")
    )
    return (*autocast, torch.get_default_dtype(), torch.get_default_device())


def _tensor(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {tuple(tensor.stride())} {tensor.dtype} {tensor.device}"


def _graph(module: GraphModule) -> Iterator[str]:
    """Every node with its arguments; nodes are named by their number."""
    numbers: dict[Node, int] = {}
    for number, node in enumerate(module.graph.nodes):
        numbers[node] = number
        if node.op == "placeholder":
            yield f"{number} placeholder"
            continue
        if node.op == "get_attr":
            yield f"{number} constant {_constant(module, str(node.target))}"
            continue
        if node.op == "call_module":
            raise Unkeyed(f"it calls the module {node.target}")
        target = node.target if isinstance(node.target, str) else _function(node.target)
        given = _value((node.args, node.kwargs), numbers)
        yield f"{number} {node.op} {target} {given}"


def _constant(module: GraphModule, target: str) -> str:
    held: Any = module
    for name in target.split("."):
        held = getattr(held, name)
    if isinstance(held, GraphModule):
        return " ".join(_graph(held))
    if not isinstance(held, torch.Tensor):
        raise Unkeyed(f"it holds a {type(held).__name__}")
    plain = held.detach().cpu().contiguous().flatten()
    content = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return f"{_tensor(held)} {hashlib.sha256(content).hexdigest()}"


def _function(target: Any) -> str:
    """The name by which every process finds this function."""
    if isinstance(target, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"higher order {target.__name__}"
    name = getattr(target, "__name__", "")
    home = getattr(target, "__module__", None) or ""
    for place in dict.fromkeys((home, "torch", "torch.nn.functional", "torch._C._nn", "_operator")):
        if place.partition(".")[0] in _VERSIONED and _is_there(place, name, target):
            return f"{place}.{name}"
    owner = getattr(target, "__objclass__", None)
    if owner is torch._C.TensorBase or owner is torch.Tensor:
        return f"torch.Tensor.{name}"
    raise Unkeyed(f"it calls {home}.{name or target!r}")


def _is_there(place: str, name: str, target: Any) -> bool:
    try:
        found = getattr(importlib.import_module(place), name, None)
    except ImportError:
        return False
    # Equal: a stand-in of ours that is in place, or was while Dynamo traced, and torch's own.
    return found is target or bool(found == target)


def _value(value: Any, numbers: dict[Node, int]) -> str:
    if isinstance(value, Node):
        return f"%{numbers[value]}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_value(each, numbers) for each in value)})"
    if isinstance(value, dict):
        items = (f"{key}: {_value(each, numbers)}" for key, each in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, slice):
        return f"slice{_value((value.start, value.stop, value.step), numbers)}"
    plain = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
    torch_words = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size)
    if type(value) in plain or isinstance(value, torch_words):
        return f"{type(value).__name__} {value!r}"
    if callable(value):
        return _function(value)
    raise Unkeyed(f"it takes a {type(value).__name__}")
