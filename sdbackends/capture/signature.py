"""When is a capture still valid?

A captured graph has the shapes, the non-tensor arguments and the model's own state of one call
burnt into it. `call_signature` describes the call, `module_state` the model: its classes, every
plain attribute of every submodule (flags, scales, adapter names), its attention processors, and
the identity of its weights. Two calls may share a capture only if signature and structure are
equal; they may share *bound weights* only if the weights' `data_ptr` and `_version` are equal too.

An edit through `parameter.data` bumps no version and cannot be seen from here. Engines therefore
share memory with the parameters (see `GraphEngine.build`) instead of keeping copies.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

#: What `nn.Module` itself keeps in `__dict__`; children, weights and hooks are handled by name.
_MODULE_FIELDS = frozenset(vars(torch.nn.Module())) - {"training"}
#: Written by accelerate around the model's `forward`; the router runs that hook itself.
_ACCELERATE_FIELDS = frozenset({"_hf_hook", "_old_forward", "forward"})
#: Hooks of diffusers that store the weights elsewhere, or in another dtype, between two calls.
_WEIGHT_MOVERS = frozenset(
    {"LayerwiseCastingHook", "GroupOffloadingHook", "LazyPrefetchGroupOffloadingHook"}
)
_PLAIN = frozenset(
    {int, float, bool, str, type(None), bytes, complex, torch.dtype, torch.device, torch.Size}
)
#: Where a model was loaded from; it changes nothing in what it computes.
_ORIGINS = frozenset({"_name_or_path", "name_or_path", "_commit_hash", "_diffusers_version"})
#: Packages whose code is fixed by their version, so that a capture of it may be kept on disk.
_VERSIONED = frozenset({"torch", "diffusers", "transformers", "peft", "accelerate", "builtins"})


@dataclass(frozen=True)
class CallSignature:
    """One call: its flattened arguments, and a hashable key of all but the tensors' values."""

    key: tuple[Any, ...]
    spec: pytree.TreeSpec
    leaves: tuple[Any, ...]

    @property
    def shapeless(self) -> tuple[Any, ...]:
        """The key without the tensors' sizes: for an engine whose programs take any shape."""
        spec, parts, ambient = self.key
        kept = tuple(
            (len(part[0]), *part[1:]) if isinstance(leaf, torch.Tensor) else part
            for part, leaf in zip(parts, self.leaves, strict=True)
        )
        return (spec, kept, ambient)

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        return tuple(tensor.shape for tensor in self.tensors)

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor)]


@dataclass(frozen=True)
class ModuleState:
    """One model at the moment of a call.

    Attributes:
        structure: changes when another graph would be captured.
        weights: changes when a program must take the weights anew.
        persistent: the structure means the same in another process, so a capture may be kept.
        obstacle: why a captured program could not stand for this model, in words; None if it can.
    """

    structure: tuple[Any, ...]
    weights: tuple[Any, ...]
    persistent: bool
    obstacle: str | None


class UnsupportedArgument(TypeError):
    """An argument that is neither a tensor nor a plain value."""


def call_signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallSignature:
    """Describe a call.

    Raises:
        UnsupportedArgument: an argument cannot be part of a captured graph.
    """
    leaves, spec = pytree.tree_flatten((args, dict(sorted(kwargs.items()))))
    parts: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            parts.append((tuple(leaf.shape), leaf.dtype, leaf.device))
        elif type(leaf) in _PLAIN:
            parts.append((type(leaf), leaf))
        else:
            raise UnsupportedArgument(f"an argument of type {type(leaf).__qualname__}")
    return CallSignature((spec, tuple(parts), _ambient()), spec, tuple(leaves))


def module_state(module: torch.nn.Module) -> ModuleState:
    """Describe a model. Costs about a microsecond an attribute: it runs at every call."""
    description = _Description()
    for path, part in _walk(module, ""):
        description.add_module(path, part)
    return ModuleState(
        tuple(description.structure),
        tuple(description.weights),
        description.persistent,
        description.obstacle,
    )


class _Description:
    """Collects structure and weights in one walk."""

    def __init__(self) -> None:
        self.structure: list[Any] = []
        self.weights: list[Any] = []
        self.persistent = True
        self.obstacle: str | None = None

    def add_module(self, path: str, module: torch.nn.Module) -> None:
        structure = self.structure
        kind = type(module)
        fields = module.__dict__
        structure.append(path)
        structure.append(kind)
        self._trust(kind)
        skipped: frozenset[str] = frozenset()
        if "_hf_hook" in fields:
            skipped = _ACCELERATE_FIELDS
            if path:
                self.obstacle = f"accelerate moves the weights of {path} at every call"
        if "_diffusers_hook" in fields:
            self._look_at_diffusers_hooks(path, fields["_diffusers_hook"])
        for name, value in fields.items():
            if type(value) in _PLAIN:
                if name not in _ORIGINS:
                    structure.append(value)
            elif name not in _MODULE_FIELDS and name not in skipped:
                structure.append((name, self._freeze(value, 0)))
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    structure.append((name, tensor.shape, tensor.dtype, tensor.device))
                    self.weights.append(_identity(tensor))
        if module._forward_hooks or module._forward_pre_hooks:
            self._add_hooks(path, module)

    def _look_at_diffusers_hooks(self, path: str, registry: Any) -> None:
        """One that keeps results for the next call would leave what was traced in their place."""
        for hook in registry.hooks.values():
            kind = type(hook).__name__
            if kind in _WEIGHT_MOVERS:
                self.obstacle = f"the weights of {path or 'it'} change at every call ({kind})"
            elif getattr(hook, "_is_stateful", False):
                self.obstacle = f"{path or 'it'} keeps results for its next call ({kind})"

    def _add_hooks(self, path: str, module: torch.nn.Module) -> None:
        """Hooks of the known packages are tensor code and are captured with the model.

        A user's hook has effects outside the graph, which a captured program would not repeat.
        """
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            name = getattr(hook, "__qualname__", type(hook).__qualname__)
            self.structure.append(name)
            if _package(hook) not in _VERSIONED:
                self.obstacle = f"the forward hook {name} stands on {path or 'it'}"

    def _freeze(self, value: Any, depth: int) -> Any:
        """A hashable picture of an attribute that is not plain."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, torch.Tensor):
            # Its contents become a constant of the graph, so they belong to the structure.
            self.persistent = False
            return (tuple(value.shape), value.dtype, *_identity(value))
        if isinstance(value, (list, tuple)):
            return (kind, *(self._freeze(v, depth) for v in value))
        if isinstance(value, (set, frozenset)):
            return (kind, *sorted(map(repr, value)))
        if isinstance(value, dict):
            return (kind, *self._items(value, depth))
        if isinstance(value, type):
            self._trust(value)
            return value
        if isinstance(value, torch.nn.Module):
            return type(value)  # a module held outside `_modules` is walked by its owner
        self._trust(value if hasattr(value, "__qualname__") else kind)
        if isinstance(value, (types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
            name = (getattr(value, "__module__", ""), value.__qualname__)
            # A versioned package's function is known by its name, also in another process.
            return name if _package(value) in _VERSIONED else (*name, id(value))
        held = getattr(value, "__dict__", None)
        if held is None or depth >= 3:
            return kind
        return (kind, *self._items(held, depth + 1))

    def _items(self, held: dict[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
        for key, value in held.items():
            if key not in _ORIGINS:
                yield str(key), self._freeze(value, depth)

    def _trust(self, thing: Any) -> None:
        if self.persistent and _package(thing) not in _VERSIONED:
            self.persistent = False


def _package(thing: Any) -> str:
    return (getattr(thing, "__module__", None) or "").partition(".")[0]


def _identity(tensor: torch.Tensor) -> tuple[int, int]:
    # Inference tensors keep no version counter; they cannot be written outside inference mode.
    version = -1 if tensor.is_inference() else tensor._version
    return (tensor.data_ptr(), version)


def _walk(module: torch.nn.Module, path: str) -> Iterator[tuple[str, torch.nn.Module]]:
    """Every submodule with its path; one that stands in two places comes twice."""
    yield path, module
    prefix = f"{path}." if path else ""
    for name, child in module._modules.items():
        if child is not None:
            yield from _walk(child, prefix + name)


def _ambient() -> tuple[Any, ...]:
    """Settings outside the call that change what is captured."""
    autocast = (
        torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        for kind in ("cpu", "cuda")
    )
    return (*autocast, torch.get_default_dtype())
