"""The CUDA stand-in: on a machine without CUDA, "cuda" means torch on the CPU.

`lay` takes an overlay and makes everything that a script written for a GPU does with "cuda" work:
factories, conversions, modules, generators, autocast, checkpoints, and `torch.cuda` (cuda_api.py).
Factories need no replaced function: PyTorch's dispatcher gets kernels for its CUDA key that
allocate on the CPU, so `torch.randn` and its kind cost nothing extra and stay traceable by
torch.compile and torch.export. Tensors and models say `device: cpu`, which is where they are.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.utils._device

from sdbackends import say
from sdbackends.host import cuda_api
from sdbackends.host.overlay import Overlay

CPU = torch.device("cpu")
_laid = False
_used = False


def is_missing() -> bool:
    """No CUDA device here. Asked so that CUDA is not initialised, nor a later fork spoilt."""
    if torch.version.cuda is None and torch.version.hip is None:
        return True
    return torch.cuda.device_count() == 0


def is_laid() -> bool:
    return _laid


def means_cuda(device: Any) -> bool:
    """Whether the script names a CUDA device: "cuda", "cuda:1", `torch.device("cuda")`, 0."""
    if isinstance(device, torch.device):
        return device.type == "cuda"
    if isinstance(device, str):
        return device == "cuda" or device.startswith("cuda:")
    return type(device) is int and device >= 0


def on_cpu(device: Any) -> Any:
    """The device to use for one that the script names."""
    if not means_cuda(device):
        return device
    first_use()
    return CPU


def is_used() -> bool:
    """Whether the script has put anything on "cuda" so far."""
    return _used


def first_use() -> None:
    """Say once what "cuda" means here."""
    global _used
    _used = True
    say.warn_once("no cuda", "no CUDA here: 'cuda' means torch on the CPU")


def lay(overlay: Overlay) -> None:
    """Lay the stand-in; once only, until `overlay` is undone."""
    global _laid
    _laid = True
    overlay.on_undo("cuda stand-in", _mark_undone)
    # Cached inside torch at its first use: it must be filled with torch's own functions.
    torch.utils._device._device_constructors()
    _lay_dispatch(overlay)
    _lay_tensors(overlay)
    _lay_modules(overlay)
    _lay_contexts(overlay)
    _lay_generator(overlay)
    _lay_load(overlay)
    cuda_api.lay(overlay)
    _forget_traced_names(overlay)


def _mark_undone() -> None:
    global _laid, _used
    _laid = _used = False


def _lay_dispatch(overlay: Overlay) -> None:
    aten = torch.ops.aten

    def elsewhere(op: Any) -> Callable[..., Any]:
        def kernel(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> Any:
            return op(*args, device=CPU, **kwargs)

        return kernel

    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    overlay.on_undo("aten kernels for CUDA", library._destroy)
    for name in ("empty.memory_format", "empty_strided", "tril_indices", "triu_indices"):
        packet, _, overload = name.partition(".")
        op = getattr(getattr(aten, packet), overload or "default")
        library.impl(name, elsewhere(op), "CUDA", allow_override=True)  # type: ignore[no-untyped-call]
    # The bindings call this before the first tensor on "cuda" is made.
    overlay.set(torch.cuda, "_lazy_init", first_use)


def _lay_tensors(overlay: Overlay) -> None:
    real_to, real_pin = torch.Tensor.to, torch.Tensor.pin_memory

    @functools.wraps(real_to)
    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        args = tuple(on_cpu(arg) for arg in args[:1]) + args[1:]
        if "device" in kwargs:
            kwargs["device"] = on_cpu(kwargs["device"])
        return real_to(self, *args, **kwargs)

    @functools.wraps(torch.Tensor.cuda)
    def cuda(
        self: torch.Tensor, device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> torch.Tensor:
        first_use()
        return real_to(self, CPU, **kwargs)

    @functools.wraps(real_pin)
    def pin_memory(self: torch.Tensor, device: Any = None) -> torch.Tensor:
        return self

    @functools.wraps(torch.Tensor.record_stream)
    def record_stream(self: torch.Tensor, stream: Any) -> None: ...

    overlay.set(torch.Tensor, "record_stream", record_stream)
    overlay.set(torch.Tensor, "to", to)
    overlay.set(torch.Tensor, "cuda", cuda)
    overlay.set(torch.Tensor, "pin_memory", pin_memory)
    overlay.set(torch.Tensor, "new_tensor", _naming_no_cuda(torch.Tensor.new_tensor))
    # These convert inside the binding, and ask for the current CUDA device there.
    for name in ("tensor", "as_tensor", "asarray", "sparse_coo_tensor", "sparse_csr_tensor"):
        overlay.set(torch, name, _naming_no_cuda(getattr(torch, name)))


def _naming_no_cuda(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = on_cpu(kwargs["device"])
        rest = (CPU if isinstance(a, torch.device) and means_cuda(a) else a for a in args[1:])
        return real(*args[:1], *rest, **kwargs)

    return call


def _lay_modules(overlay: Overlay) -> None:
    real_to = torch.nn.Module.to

    @functools.wraps(real_to)
    def to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        args = tuple(on_cpu(arg) for arg in args[:1]) + args[1:]
        if "device" in kwargs:
            kwargs["device"] = on_cpu(kwargs["device"])
        return real_to(self, *args, **kwargs)

    @functools.wraps(torch.nn.Module.cuda)
    def cuda(self: torch.nn.Module, device: Any = None) -> torch.nn.Module:
        first_use()
        return self

    overlay.set(torch.nn.Module, "to", to)
    overlay.set(torch.nn.Module, "cuda", cuda)


def _lay_contexts(overlay: Overlay) -> None:
    """`torch.autocast("cuda")`, `with torch.device("cuda")`, `torch.set_default_device`."""
    autocast = torch.amp.autocast_mode.autocast
    real_autocast = autocast.__init__

    @functools.wraps(real_autocast)
    def init_autocast(
        self: Any,
        device_type: Any,
        dtype: Any = None,
        enabled: bool = True,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if device_type == "cuda":
            if enabled:  # models switch it off for a few lines, wherever they run
                first_use()
            device_type = "cpu"
            dtype = torch.bfloat16 if dtype is torch.float16 else dtype
        real_autocast(self, device_type, dtype, enabled, *args, **kwargs)

    context = torch.utils._device.DeviceContext
    real_context = context.__init__

    @functools.wraps(real_context)
    def init_context(self: Any, device: Any) -> None:
        # With an index no binding asks for the current CUDA device.
        real_context(self, torch.device("cuda:0") if means_cuda(device) else device)

    overlay.set(autocast, "__init__", init_autocast)
    overlay.set(context, "__init__", init_context)


def _lay_generator(overlay: Overlay) -> None:
    real = torch.Generator

    class OfAnyDevice(type(real)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, real)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real)

    class Generator(real, metaclass=OfAnyDevice):  # type: ignore[misc, valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            return real(device=on_cpu(device))

    Generator.__doc__ = real.__doc__
    # Pickles name the class: they must be readable without sdbackends too.
    Generator.__module__, Generator.__qualname__ = "torch", "Generator"
    overlay.set(torch, "Generator", Generator)


def _lay_load(overlay: Overlay) -> None:
    real = torch.load

    @functools.wraps(real)
    def load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        return real(f, _location_here(map_location), *args, **kwargs)

    overlay.set(torch, "load", load)
    overlay.set(torch.serialization, "load", load)


def _location_here(map_location: Any) -> Any:
    if map_location is None:
        # A checkpoint that was saved on a GPU names "cuda" for its tensors.
        return lambda storage, location: storage if means_cuda(location) else None
    if isinstance(map_location, dict):
        return {
            "cuda:0": "cpu",
            **{here: on_cpu(there) for here, there in map_location.items()},
        }
    return on_cpu(map_location)


def _forget_traced_names(overlay: Overlay) -> None:
    """torch.compile keeps tables from function objects to names; let it read them anew."""

    def forget() -> None:
        rules = sys.modules.get("torch._dynamo.trace_rules")
        if rules is not None:
            rules.clear_lru_cache()

    forget()
    overlay.on_undo("traced names", forget)
