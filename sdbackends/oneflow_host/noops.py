"""Compilers, tracers, contexts and backends: things that are off, and say so.

What a library asks about them ("is a compiler tracing me?") has a true answer here: no. What only
speeds torch up is accepted and changes nothing.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import oneflow as flow

from sdbackends import log
from sdbackends.oneflow_host import TORCH_VERSION
from sdbackends.oneflow_host.registry import PROVIDED, provides


class TorchVersion(str):
    """A version that compares as a version, as torch's does."""

    __slots__ = ()

    def _parsed(self, other: Any) -> tuple[Any, Any]:
        from packaging.version import Version

        return Version(str(self)), Version(str(other))

    def __lt__(self, other: Any) -> bool:
        mine, theirs = self._parsed(other)
        return bool(mine < theirs)

    def __le__(self, other: Any) -> bool:
        mine, theirs = self._parsed(other)
        return bool(mine <= theirs)

    def __gt__(self, other: Any) -> bool:
        return not self <= other

    def __ge__(self, other: Any) -> bool:
        return not self < other


PROVIDED["torch.__version__"] = PROVIDED["torch.version.__version__"] = TorchVersion(TORCH_VERSION)
PROVIDED["torch.torch_version.TorchVersion"] = TorchVersion
for _name in ("cuda", "hip", "xpu"):
    PROVIDED[f"torch.version.{_name}"] = None


@provides(
    "torch.compiler.is_compiling",
    "torch.compiler.is_dynamo_compiling",
    "torch.compiler.is_exporting",
    "torch._dynamo.is_compiling",
    "torch.jit.is_tracing",
    "torch.jit.is_scripting",
    "torch.is_complex",
    "torch.are_deterministic_algorithms_enabled",
    "torch.distributed.is_available",
    "torch.distributed.is_initialized",
    "torch.backends.mps.is_available",
    "torch.backends.mps.is_built",
    "torch.backends.cuda.is_built",
)
def no(*_: Any, **__: Any) -> bool:
    """The true answer on this host."""
    return False


@provides("torch.accelerator.is_available")
def has_accelerator() -> bool:
    return bool(flow.cuda.is_available())


@provides("torch.accelerator.current_accelerator")
def current_accelerator(check_available: bool = False) -> Any:
    return flow.device("cuda") if has_accelerator() else None


@provides("torch.is_autocast_enabled")
def is_autocast_enabled(device_type: str | None = None) -> bool:
    return False


@provides(
    "torch.compiler.disable",
    "torch.compiler.allow_in_graph",
    "torch.compiler.assume_constant_result",
    "torch._dynamo.disable",
    "torch._dynamo.allow_in_graph",
    "torch.jit.ignore",
    "torch.jit.unused",
    "torch.jit.export",
    "torch.jit.script",
    "torch.jit.script_if_tracing",
)
def unchanged(function: Any = None, *_: Any, **__: Any) -> Any:
    """A mark for compilers; the function itself is what runs. With arguments: a decorator."""
    return function if callable(function) else (lambda thing: thing)


@provides("torch.compile")
def compile(model: Any = None, **_: Any) -> Any:
    """The model itself: nn.Graph is the host's compiler."""
    log.warn_once("torch.compile", "torch.compile does nothing on the OneFlow host")
    return model if model is not None else (lambda thing: thing)


@provides("torch.library.custom_op")
def custom_op(name: str, function: Any = None, /, **_: Any) -> Any:
    """The function itself, called as it is; what it would tell a compiler is dropped."""

    def define(real: Any) -> Any:
        for about in ("register_fake", "register_kernel", "register_autograd", "register_vmap"):
            setattr(real, about, lambda *_, **__: lambda thing: thing)
        return real

    return define if function is None else define(function)


@provides(
    "torch.library.register_fake",
    "torch.library.register_autograd",
    "torch.library.register_kernel",
    "torch.library.register_vmap",
    "torch.library.impl",
    "torch.library.define",
)
def register_beside(*_: Any, **__: Any) -> Callable[[Any], Any]:
    return lambda function: function


@provides("torch.autocast", "torch.amp.autocast", "torch.cuda.amp.autocast")
class autocast(contextlib.ContextDecorator):  # noqa: N801  (torch's name)
    """OneFlow's own on CUDA; on a CPU there is float32 alone, so there is nothing to cast."""

    def __init__(self, device_type: str = "cuda", dtype: Any = None, **kwargs: Any) -> None:
        off = device_type != "cuda" or not flow.cuda.is_available()
        self._real = None if off else flow.autocast(device_type, dtype=dtype, **kwargs)

    def __enter__(self) -> autocast:
        if self._real is not None:
            self._real.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._real is not None:
            self._real.__exit__(*error)


@provides("torch.nn.attention.sdpa_kernel", "torch.backends.cuda.sdp_kernel")
@contextlib.contextmanager
def sdpa_kernel(*_: Any, **__: Any) -> Iterator[None]:
    """The host has one form of attention."""
    yield


def _without_grad(name: str) -> None:
    real = getattr(flow, name)

    @provides(f"torch.{name}", f"torch.autograd.{name}")
    def context(function: Any = None, *_: Any, **__: Any) -> Any:
        return real()(function) if callable(function) else real()

    context.__name__ = name


for _name in ("no_grad", "enable_grad"):
    _without_grad(_name)
# OneFlow's inference_mode keeps views from being used later; no_grad is what torch's comes to.
PROVIDED["torch.inference_mode"] = PROVIDED["torch.no_grad"]

PROVIDED["torch.backends.cuda.matmul"] = types.SimpleNamespace(allow_tf32=False)
