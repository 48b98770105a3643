"""Capture one call of a module as one graph, without guards: for tests, benchmarks and tools.

The script's calls go through Dynamo (`front_end.py`). Here the call's own Python runs once with
fake tensors, so nothing says when the graph would no longer be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._export.utils import _compiling_state_context
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from sdbackends.capture.export import Argument, Capture, export
from sdbackends.capture.graph import Graph, Ref


@dataclass(frozen=True)
class CapturedCall(Capture):
    """A capture that knows how its flat outputs become the call's result again."""

    out_spec: pytree.TreeSpec = None  # type: ignore[assignment]

    def result(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The call's own result (a ModelOutput, a tuple, …) from one tensor for every `Ref`."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(o, Ref) else o for o in self.graph.outputs]
        return pytree.tree_unflatten(leaves, self.out_spec)


def capture(
    module: torch.nn.Module,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    call: Callable[..., Any] | None = None,
) -> CapturedCall:
    """Capture `call(*args, **kwargs)` (default: the module's own `forward`).

    Tensors among the arguments become the graph's inputs in the order of
    `torch.utils._pytree.tree_flatten((args, kwargs))` with the keywords sorted; everything else is
    burnt in. Weights are named as in `module.state_dict()`.

    Raises:
        CaptureError: the call cannot be captured, or it changes something in place.
    """
    function = _Flat(module, call or module.forward, args, dict(sorted((kwargs or {}).items())))
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fakes = [mode.from_tensor(tensor, static_shapes=True) for tensor in function.tensors]
    captured = export(function, fakes, function.arguments)
    if captured.mutated:
        from sdbackends.errors import CaptureError

        names = [function.arguments[at].name or f"argument {at}" for at in captured.mutated]
        raise CaptureError(
            f"{type(module).__name__} cannot be captured",
            why=f"the call changes {names[0]} in place",
            fix="the model runs on eager torch instead",
        )
    assert function.out_spec is not None
    return CapturedCall(captured.graph, captured.constants, (), function.out_spec)


def weights_of(module: torch.nn.Module, graph: Graph) -> dict[str, torch.Tensor]:
    """The live parameters and buffers that the graph names."""
    found: dict[str, torch.Tensor] = {}
    for value in graph.weights:
        owner, _, name = value.key.rpartition(".")
        tensor = getattr(module.get_submodule(owner), name)
        assert isinstance(tensor, torch.Tensor)
        found[value.key] = tensor
    return found


class _Flat(torch.nn.Module):
    """The call as a function of flat tensors: the model's weights, then the arguments'."""

    def __init__(
        self, model: torch.nn.Module, call: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        super().__init__()
        self._held = (model, call)  # in a tuple: a module here would be registered
        leaves, self._in_spec = pytree.tree_flatten((args, kwargs))
        self._leaves = leaves
        self._places = _places(model)
        weights = [
            (name, owner._parameters.get(key, owner._buffers.get(key)))
            for name, owner, key in self._places
        ]
        given = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        self.tensors: list[torch.Tensor] = [w for _, w in weights if w is not None] + given
        self.arguments = [Argument("weight", name) for name, _ in weights]
        self.arguments += [Argument("input")] * len(given)
        self.out_spec: pytree.TreeSpec | None = None

    def forward(self, *flat: torch.Tensor) -> tuple[Any, ...]:
        model, call = self._held
        weights = {name: tensor for (name, _, _), tensor in zip(self._places, flat, strict=False)}
        given = iter(flat[len(self._places) :])
        leaves = [next(given) if isinstance(x, torch.Tensor) else x for x in self._leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self._in_spec)
        with (
            torch.nn.utils.stateless._reparametrize_module(model, weights, tie_weights=True),
            # Models ask whether they are traced before they look into a mask.
            _compiling_state_context(),
        ):
            result = call(*args, **kwargs)
        outputs, self.out_spec = pytree.tree_flatten(result)
        return tuple(outputs)


def _places(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module, str]]:
    """Every parameter and buffer once: its name, the module that holds it, its key there."""
    found, seen = [], set()
    for path, part in model.named_modules():
        for key, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((f"{path}.{key}".lstrip("."), part, key))
    return found
