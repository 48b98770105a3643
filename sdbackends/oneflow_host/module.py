"""Methods of `torch.nn.Module` that OneFlow's lack or take otherwise, and `torch.nn.Buffer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import oneflow as flow

from sdbackends.oneflow_host.creation import INERT
from sdbackends.oneflow_host.devices import placed
from sdbackends.oneflow_host.dtypes import MemoryFormat, usable
from sdbackends.oneflow_host.missing_names import missing
from sdbackends.oneflow_host.registry import module_method, provides

_Module = flow.nn.Module
_to = _Module.to
_setattr = _Module.__setattr__


@module_method("to")
def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A device, a dtype or both, by position or by name."""
    for what in (*args, *(value for name, value in kwargs.items() if name not in INERT)):
        if what is None or isinstance(what, (bool, MemoryFormat)):
            continue
        if isinstance(what, flow.dtype):
            _to(self, usable(what))
        elif isinstance(what, flow.Tensor):
            _to(self, what)
        elif (where := placed(what)) is not None:
            _to(self, where)
    return self


@module_method("cuda")
def cuda(self: Any, device: Any = None) -> Any:
    return to(self, "cuda" if device is None else device)


@module_method("half")
def half(self: Any) -> Any:
    return to(self, flow.float16)


@module_method("bfloat16")
def bfloat16(self: Any) -> Any:
    return to(self, flow.bfloat16)


@module_method("get_submodule")
def get_submodule(self: Any, target: str) -> Any:
    found = self
    for name in target.split(".") if target else ():
        if name not in found._modules:
            raise AttributeError(f"{type(found).__name__} has no module {name!r}")
        found = found._modules[name]
    return found


@module_method("get_parameter", "get_buffer")
def get_tensor(self: Any, target: str) -> Any:
    parent, _, name = target.rpartition(".")
    return getattr(get_submodule(self, parent), name)


@module_method("set_submodule")
def set_submodule(self: Any, target: str, module: Any) -> None:
    parent, _, name = target.rpartition(".")
    setattr(get_submodule(self, parent), name, module)


class Handle:
    """What a `register_…` gives back: removes that one hook."""

    def __init__(self, hooks: dict[Any, Any], hook: Callable[..., Any]) -> None:
        self._hooks, self.id = hooks, object()
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)


@module_method("register_forward_pre_hook")
def register_forward_pre_hook(self: Any, hook: Callable[..., Any], **how: Any) -> Handle:
    _only_plain("register_forward_pre_hook", how)
    return Handle(self._forward_pre_hooks, hook)


@module_method("register_forward_hook")
def register_forward_hook(self: Any, hook: Callable[..., Any], **how: Any) -> Handle:
    _only_plain("register_forward_hook", how)
    return Handle(self._forward_hooks, hook)


@module_method("_register_load_state_dict_pre_hook")
def register_load_state_dict_pre_hook(
    self: Any, hook: Callable[..., Any], with_module: bool = False
) -> Handle:
    def with_self(*args: Any) -> Any:
        return hook(self, *args)

    return Handle(self._load_state_dict_pre_hooks, with_self if with_module else hook)


@module_method("_register_state_dict_hook")
def register_state_dict_hook(self: Any, hook: Callable[..., Any]) -> Handle:
    # torch gives the hook a fourth argument, which OneFlow has no use for.
    return Handle(self._state_dict_hooks, lambda *args: hook(*args, {}))


def _only_plain(name: str, how: dict[str, Any]) -> None:
    for option, value in how.items():
        if value and option != "always_call":
            raise missing(f"torch.nn.Module.{name}({option}=…)", "OneFlow's hooks are plain")


@module_method("compile")
def compile(self: Any, *_: Any, **__: Any) -> None:
    """`model.compile()`: the UNet runs as an nn.Graph with or without it."""


@module_method("share_memory")
def share_memory(self: Any) -> Any:
    return self


@provides("torch.nn.Buffer", "torch.nn.parameter.Buffer")
class Buffer:
    """Given to a module's attribute, it becomes a buffer of the module."""

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        self.data, self.persistent = data, persistent


@module_method("__setattr__")
def set_attribute(self: Any, name: str, value: Any) -> None:
    if isinstance(value, Buffer):
        self.register_buffer(name, value.data, persistent=value.persistent)
    else:
        _setattr(self, name, value)


@module_method("named_modules")
def named_modules(
    self: Any, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    memo = set() if memo is None else memo
    if self in memo:
        return
    if remove_duplicate:
        memo.add(self)
    yield prefix, self
    for name, module in self._modules.items():
        if module is not None:
            below = f"{prefix}.{name}" if prefix else name
            yield from named_modules(module, memo, below, remove_duplicate)


@module_method("named_parameters")
def named_parameters(
    self: Any, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    return _named(self, "_parameters", prefix, recurse, remove_duplicate)


@module_method("named_buffers")
def named_buffers(
    self: Any, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Any]]:
    return _named(self, "_buffers", prefix, recurse, remove_duplicate)


def _named(
    self: Any, table: str, prefix: str, recurse: bool, remove_duplicate: bool
) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    found = named_modules(self, None, prefix, remove_duplicate) if recurse else [(prefix, self)]
    for path, module in found:
        for name, tensor in getattr(module, table).items():
            if tensor is None or id(tensor) in seen:
                continue
            if remove_duplicate:
                seen.add(id(tensor))
            yield f"{path}.{name}" if path else name, tensor
