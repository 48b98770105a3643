"""The CUDA stand-in: on a machine without CUDA, "cuda" means torch on the CPU.

`apply` takes patches and makes everything that a script written for a GPU does with "cuda" work:
factories, conversions, modules, generators, autocast, checkpoints, and `torch.cuda` (cuda_api.py).
Factories allocate on the CPU because PyTorch's dispatcher gets kernels for its CUDA key that do, so
`torch.randn` and its kind stay traceable by torch.compile and torch.export; what must be replaced
keeps the looks of torch's own (stand_in.py). Tensors and models say `device: cpu`, which is where
they are.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

import torch
import torch.utils._device

from sdbackends import log
from sdbackends.host import cuda_api, cuda_types, stand_in
from sdbackends.host.patches import Patches

CPU = torch.device("cpu")
#: Makes `torch.Generator("cuda")`, where that is not torch's own on the CPU (random.py).
cuda_generator: Callable[[], Any] | None = None
_laid = False
_used = False


def is_missing() -> bool:
    """No CUDA device here. Asked so that CUDA is not initialised, nor a later fork spoilt."""
    if torch.version.cuda is None and torch.version.hip is None:
        return True
    return torch.cuda.device_count() == 0


def is_applied() -> bool:
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


def note_use() -> None:
    """From here on the script is one for a GPU."""
    global _used
    _used = True


def first_use() -> None:
    """Note it, and say once what "cuda" means here."""
    note_use()
    log.warn_once("no cuda", "no CUDA here: 'cuda' means torch on the CPU")


def apply(patches: Patches) -> None:
    """Lay the stand-in; once only, until `patches` are undone."""
    global _laid
    _laid = True
    patches.on_undo("cuda stand-in", _mark_undone)
    # Cached inside torch at its first use: it must be filled with torch's own functions.
    torch.utils._device._device_constructors()
    _lay_dispatch(patches)
    _lay_tensors(patches)
    _lay_modules(patches)
    _lay_contexts(patches)
    _lay_generator(patches)
    _lay_load(patches)
    cuda_types.apply(patches)
    cuda_api.apply(patches)
    _forget_traced_names(patches)


def _mark_undone() -> None:
    global _laid, _used
    _laid = _used = False


def _lay_dispatch(patches: Patches) -> None:
    aten = torch.ops.aten

    def elsewhere(op: Any) -> Callable[..., Any]:
        def kernel(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> Any:
            return op(*args, device=CPU, **kwargs)

        return kernel

    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    patches.on_undo("aten kernels for CUDA", library._destroy)
    for name in ("empty.memory_format", "empty_strided", "tril_indices", "triu_indices"):
        packet, _, overload = name.partition(".")
        op = getattr(getattr(aten, packet), overload or "default")
        library.impl(name, elsewhere(op), "CUDA", allow_override=True)  # type: ignore[no-untyped-call]
    # The bindings call this before the first tensor on "cuda" is made.
    patches.set(torch.cuda, "_lazy_init", cuda_api.like(torch.cuda._lazy_init, first_use))


def _lay_tensors(patches: Patches) -> None:
    def to(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            args = tuple(on_cpu(arg) for arg in args[:1]) + args[1:]
            if "device" in kwargs:
                kwargs["device"] = on_cpu(kwargs["device"])
            return real(self, *args, **kwargs)

        return call

    real_to = torch.Tensor.to

    def cuda(
        self: torch.Tensor, device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> torch.Tensor:
        first_use()
        return real_to(self, CPU, **kwargs)

    def pin_memory(self: torch.Tensor, device: Any = None) -> torch.Tensor:
        return self

    def record_stream(self: torch.Tensor, stream: Any) -> None: ...

    stand_in.apply(patches, torch.Tensor, "cuda", lambda _: cuda)
    stand_in.apply(patches, torch.Tensor, "pin_memory", lambda _: pin_memory)
    stand_in.apply(patches, torch.Tensor, "record_stream", lambda _: record_stream)
    stand_in.apply(patches, torch.Tensor, "to", to)
    stand_in.apply(patches, torch.Tensor, "new_tensor", _naming_no_cuda)
    # Some of these convert inside the binding, and ask for the current CUDA device there. All of
    # them refuse `device=0` and `pin_memory` without a GPU.
    constructors = torch.utils._device._device_constructors()
    for name, function in list(vars(torch).items()):
        if isinstance(function, BuiltinFunctionType) and function in constructors:
            stand_in.apply(patches, torch, name, _FIRST.get(name, _naming_no_cuda_by_keyword))
    for name in ("empty", "zeros", "ones", "full", "rand", "randn", "randint"):
        stand_in.apply(patches, torch, f"{name}_like", _naming_no_cuda_by_keyword)
    for name in ("empty", "zeros", "ones", "full", "empty_strided"):
        stand_in.apply(patches, torch.Tensor, f"new_{name}", _naming_no_cuda_by_keyword)


def _naming_no_cuda(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = on_cpu(kwargs["device"])
        kwargs.pop("pin_memory", None)
        rest = (CPU if isinstance(a, torch.device) and means_cuda(a) else a for a in args[1:])
        return real(*args[:1], *rest, **kwargs)

    return call


def _naming_no_cuda_by_keyword(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        device = kwargs.get("device")
        if device is not None:
            kwargs["device"] = on_cpu(device)
        if kwargs.get("pin_memory"):
            del kwargs["pin_memory"]
        return real(*args, **kwargs)

    return call


_CONVERTING = "tensor as_tensor asarray sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor"
_CONVERTING += " sparse_bsr_tensor sparse_bsc_tensor sparse_compressed_tensor"
_FIRST = dict.fromkeys(_CONVERTING.split(), _naming_no_cuda)


def _lay_modules(patches: Patches) -> None:
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

    patches.set(torch.nn.Module, "to", to)
    patches.set(torch.nn.Module, "cuda", cuda)


def _lay_contexts(patches: Patches) -> None:
    """`torch.autocast("cuda")`, `with torch.device("cuda")`, `torch.set_default_device`."""
    from sdbackends.host import precision  # late: it asks here whether "cuda" was named

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
        if device_type != "cuda":
            return real_autocast(self, device_type, dtype, enabled, *args, **kwargs)
        if enabled:  # models switch it off for a few lines, wherever they run
            first_use()
        here = precision.of_autocast(torch.float16 if dtype is None else dtype)
        real_autocast(self, "cpu", torch.bfloat16, enabled, *args, **kwargs)
        # Set after it: the constructor switches float32 off, and then tensors of two dtypes, which
        # autocast brings together, would meet.
        self.fast_dtype = here

    context = torch.utils._device.DeviceContext
    real_context = context.__init__

    @functools.wraps(real_context)
    def init_context(self: Any, device: Any) -> None:
        if means_cuda(device):
            first_use()
            device = torch.device("cuda:0")  # with an index no binding asks for the current one
        real_context(self, device)

    patches.set(autocast, "__init__", init_autocast)
    patches.set(context, "__init__", init_context)


def _lay_generator(patches: Patches) -> None:
    real = torch.Generator

    class OfAnyDevice(type(real)):  # type: ignore[misc]
        """What torch's own class answers, also where a script compares classes."""

        def __instancecheck__(cls, instance: Any) -> bool:
            return cls.__subclasscheck__(type(instance))

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real) if cls is Generator else cls in subclass.__mro__

        def __eq__(cls, other: object) -> bool:
            return cls is other or (cls is Generator and other is real)

        def __hash__(cls) -> int:
            return hash(real) if cls is Generator else type.__hash__(cls)

    class Generator(real, metaclass=OfAnyDevice):  # type: ignore[misc, valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            if cuda_generator is not None and cls is Generator and means_cuda(device):
                first_use()
                return cuda_generator()
            make: Callable[..., Any] = real.__new__
            return make(real if cls is Generator else cls, on_cpu(device))

    Generator.__doc__ = real.__doc__
    # Pickles name the class: they must be readable without sdbackends too.
    Generator.__module__, Generator.__qualname__ = real.__module__, real.__qualname__
    patches.set(torch, "Generator", Generator)
    patches.set(torch._C, "Generator", Generator)


def _lay_load(patches: Patches) -> None:
    real = torch.load

    @functools.wraps(real)
    def load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        return real(f, _location_here(map_location), *args, **kwargs)

    patches.set_function(torch, "load", load)
    real_jit = torch.jit.load

    @functools.wraps(real_jit)
    def load_jit(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        # A file that was saved on a GPU names "cuda" for its tensors.
        place = CPU if map_location is None else on_cpu(map_location)
        return real_jit(f, place, *args, **kwargs)  # type: ignore[no-untyped-call]

    patches.set_function(torch.jit, "load", load_jit)


def _location_here(map_location: Any) -> Any:
    """What torch.load is given: a checkpoint that was saved on a GPU names "cuda" besides."""
    if map_location is not None and not callable(map_location) and not hasattr(map_location, "get"):
        return on_cpu(map_location)

    def restore(storage: Any, location: str) -> Any:
        there: Any = location
        if callable(map_location):
            found = map_location(storage, location)
            if found is not None:
                return found
        elif map_location is not None:
            there = map_location.get(location, location)
            on_cpu(there)
        if means_cuda(there):
            return storage
        by_default: Callable[..., Any] = torch.serialization.default_restore_location
        return by_default(storage, str(there))

    return restore


def _forget_traced_names(patches: Patches) -> None:
    """torch.compile keeps tables from function objects to names; let it read them anew."""

    def forget() -> None:
        rules = sys.modules.get("torch._dynamo.trace_rules")
        if rules is not None:
            rules.clear_lru_cache()

    forget()
    patches.on_undo("traced names", forget)
