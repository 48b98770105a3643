"""The dtype of the models: `SD_PRECISION`, and float16 on a machine without CUDA.

`SD_PRECISION` is the dtype in which models are loaded, whatever `torch_dtype` the script names.
Where a script that names "cuda" has no CUDA, its float16 models run as float32: float16 takes
minutes on a CPU, and bfloat16, which is faster on some, is less exact (`SD_PRECISION=bf16` chooses
it). A script that never names "cuda" keeps its dtypes, as on plain torch. Under a backend that
lacks a half precision on a CPU its models run as float32 in any case.
A model changes when the script brings it to "cuda" or calls it, whatever comes first: until then it
is what was loaded, and is saved as that. After loading, `.half()` and `.to(float16 or bfloat16)` of
a model follow the same rule, while `.to(float32)` stays: pipelines upcast the autoencoder so.
Models are those of diffusers and transformers, and modules that hold one; any other module stays
torch's own. The script's float16 tensors stay as they are. int8, where a backend has it, is an
option of the engine and changes nothing here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.utils._pytree import tree_map

from sdbackends import log
from sdbackends.catalog.requirements import has_bf16_units
from sdbackends.host import active_settings, cuda, gpu, stand_in
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_HALVES = (torch.float16, torch.bfloat16)
#: Where models are loaded: module, class, method.
_LOADERS = (
    ("diffusers.models.modeling_utils", "ModelMixin", "from_pretrained"),
    ("diffusers.loaders.single_file_model", "FromOriginalModelMixin", "from_single_file"),
    ("diffusers.loaders.single_file", "FromSingleFileMixin", "from_single_file"),
    ("transformers.modeling_utils", "PreTrainedModel", "from_pretrained"),
)
#: Autoencoders run layers of their own before the decoder that the router sees.
_AUTOENCODERS = "diffusers.models.autoencoders"
_laid = False


def substituted() -> bool:
    """Whether models may have to run in another dtype than the script names, at present."""
    if not cuda.is_applied():
        return False
    return cuda.is_used() or _chosen() is not None or any(map(_lacking, _HALVES))


def of_model(asked: Any) -> Any:
    """The dtype for a model for which the script asks `asked` (None: it named none)."""
    chosen = _chosen()
    wanted = asked if chosen is None else chosen
    dtype = _runnable(wanted) if chosen is not None or cuda.is_used() else wanted
    _advise(chosen)
    if dtype is wanted and chosen is not None and asked is not dtype:
        instead = f" instead of {_name(asked)}" if asked is not None else ""
        log.warn_once(
            ("precision", asked, dtype),
            f"SD_PRECISION: models are loaded as {_name(dtype)}{instead}",
        )
    return dtype


def _advise(chosen: torch.dtype | None) -> None:
    """bfloat16 was chosen to be fast, and is slow on a CPU that has no units for it."""
    if chosen is not torch.bfloat16 or not cuda.is_applied() or has_bf16_units():
        return
    settings = active_settings.current()
    if settings is not None and not gpu.runs_models(settings):
        log.warn_once("slow bf16", "SD_PRECISION=bf16: this CPU computes float32 faster")


def of_autocast(asked: torch.dtype) -> torch.dtype:
    """The dtype on the CPU for `torch.autocast("cuda", asked)`."""
    return _runnable(asked) if asked in _HALVES else asked


def convert_model(thing: Any, *, again: bool = False) -> None:
    """Bring a model, or a pipeline's models, into what runs here; weights in float32 stay.

    `again`: the model was settled before, so that its first parameter's dtype is asked instead of
    all. To walk through a whole UNet takes longer than everything else before a call.
    """
    if not substituted() or (again and _is_settled(thing)):
        return
    for part in (thing, *getattr(thing, "components", {}).values()):
        if isinstance(part, torch.nn.Module) and _is_model(part):
            for module in part.modules():
                for tensor in (*module._parameters.values(), *module._buffers.values()):
                    _settle_tensor(tensor)


def _is_settled(model: torch.nn.Module) -> bool:
    first = next(model.parameters(), None)
    return first is None or _runnable(first.dtype) is first.dtype


def _settle_tensor(tensor: torch.Tensor | None) -> None:
    # Not those on the meta device, which hooks fill, nor those of quantizers, which only say so.
    if tensor is None or type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_meta:
        return
    dtype = _runnable(tensor.dtype)
    if dtype is not tensor.dtype:
        tensor.data = tensor.data.to(dtype)  # in place: tied weights stay tied


def convert_inputs(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The script's half precision tensors, for a model that runs in another dtype instead.

    For a bfloat16 model float32 too: that is what float16 latents and bfloat16 predictions add up
    to. Timesteps (one dimension at most) keep their precision; models cast them themselves.
    """
    if not substituted():
        return args, kwargs
    dtype = next((p.dtype for p in module.parameters()), None)
    if dtype is not torch.bfloat16 and dtype is not torch.float32:
        return args, kwargs
    others = tuple(each for each in (*_HALVES, torch.float32) if each is not dtype)

    def fit(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.dtype not in others:
            return leaf
        small = leaf.dtype is torch.float32 and leaf.dim() < 2
        return leaf if small else leaf.to(dtype)

    fitted: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(fit, (args, kwargs))
    return fitted


def apply(patches: Patches) -> None:
    """Stand before the loading of models, unless a session around this one does."""
    global _laid
    # Dynamo cannot trace into it: it is there only where it does something.
    chosen = cuda.is_applied() and _chosen() is torch.bfloat16
    if chosen and not stand_in.is_stand_in(torch.Tensor.numpy):
        _lay_numpy(patches)
    if _laid:
        return
    _laid = True
    patches.on_undo("precision", _mark_undone)
    _lay_conversions(patches)
    if cuda.is_applied():
        when_imported(_AUTOENCODERS, lambda m: _lay_coders(m, patches), patches)
    for module, owner, method in _LOADERS:
        when_imported(module, _loader(owner, method, patches), patches)


def _mark_undone() -> None:
    global _laid
    _laid = False


def _chosen() -> torch.dtype | None:
    settings = active_settings.current()
    precision = settings.precision if settings is not None else None
    return None if precision is None else _DTYPES.get(precision)


def _runnable(dtype: Any) -> Any:
    """`dtype`, or what runs in its place on this machine, which is said once."""
    if not cuda.is_applied() or not any(dtype is half for half in _HALVES):
        return dtype
    if lacking := _lacking(dtype):
        why = f"{lacking} has no {_name(dtype)} on a CPU"
        return _instead(dtype, torch.float32, why)
    if dtype is torch.bfloat16 or not (cuda.is_used() or _chosen() is torch.float16):
        return dtype
    settings = active_settings.current()
    if settings is not None and gpu.runs_models(settings):
        return dtype
    if _chosen() is torch.bfloat16:
        return _instead(dtype, torch.bfloat16, "SD_PRECISION=bf16")
    why = "float16 takes minutes on a CPU; float32 is at least as exact"
    if has_bf16_units():
        why += "; SD_PRECISION=bf16 is less exact, and faster on this CPU"
    return _instead(dtype, torch.float32, why)


def _instead(asked: torch.dtype, dtype: torch.dtype, why: str) -> torch.dtype:
    log.warn_once(("half", asked), f"{_name(asked)} runs as {_name(dtype)} here ({why})")
    return dtype


@functools.cache
def _cpu_precisions(backend: str) -> tuple[str, ...]:
    # Late: a script that loads no model has no use for it.
    from sdbackends.catalog import backend_files

    return backend_files.load(backend).precisions_on("cpu")


def _lacking(dtype: torch.dtype) -> str | None:
    """The first backend of this session that cannot run `dtype` on a CPU."""
    settings = active_settings.current()
    if settings is None or gpu.runs_models(settings):
        return None
    short = next(name for name, known in _DTYPES.items() if known is dtype)
    names = settings.backend.names
    return next((name for name in names if short not in _cpu_precisions(name)), None)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _loader(owner: str, method: str, patches: Patches) -> Callable[[ModuleType], None]:
    def stand_before(module: ModuleType) -> None:
        kind = getattr(module, owner)
        real = vars(kind)[method].__func__

        @functools.wraps(real)
        def load(cls: Any, *args: Any, **kwargs: Any) -> Any:
            # diffusers and transformers accept both names; the newer one wins there too.
            key = "dtype" if kwargs.get("dtype") is not None else "torch_dtype"
            if owner == "PreTrainedModel" and kwargs.get("torch_dtype") is None:
                key = "dtype"
            _notice_cuda(kwargs.get("device_map"))
            if not isinstance(kwargs.get(key), dict):
                dtype = of_model(kwargs.get(key))
                if dtype is not None:
                    kwargs[key] = dtype
            loaded = real(cls, *args, **kwargs)
            if _chosen() is not None or cuda.is_used():
                convert_model(loaded[0] if isinstance(loaded, tuple) else loaded)
            return loaded

        patches.set(kind, method, classmethod(load))

    return stand_before


def _lay_coders(autoencoders: ModuleType, patches: Patches) -> None:
    kinds = [kind for kind in vars(autoencoders).values() if isinstance(kind, type)]
    for kind in dict.fromkeys(kinds):
        for method in ("encode", "decode"):
            if callable(vars(kind).get(method)):
                patches.set(kind, method, _fitted(vars(kind)[method]))


def _fitted(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def code(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return real(self, *args, **kwargs)
        convert_model(self)
        args, kwargs = convert_inputs(self, args, kwargs)
        return real(self, *args, **kwargs)

    return code


def _lay_conversions(patches: Patches) -> None:
    real_to, real_half, real_cuda = torch.nn.Module.to, torch.nn.Module.half, torch.nn.Module.cuda

    @functools.wraps(real_to)
    def to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        named = _notice_cuda(kwargs.get("device", args[0] if args else None))
        args = tuple(_conversion(self, arg) for arg in args)
        if "dtype" in kwargs:
            kwargs["dtype"] = _conversion(self, kwargs["dtype"])
        moved = real_to(self, *args, **kwargs)
        if named:
            convert_model(moved)
        return moved

    @functools.wraps(real_half)
    def half(self: torch.nn.Module) -> torch.nn.Module:
        dtype = _conversion(self, torch.float16)
        return real_half(self) if dtype is torch.float16 else real_to(self, dtype)

    @functools.wraps(real_cuda)
    def to_cuda(self: torch.nn.Module, device: Any = None) -> torch.nn.Module:
        moved = real_cuda(self, device)
        convert_model(moved)
        return moved

    patches.set(torch.nn.Module, "to", to)
    patches.set(torch.nn.Module, "half", half)
    patches.set(torch.nn.Module, "cuda", to_cuda)


def _notice_cuda(device: Any) -> bool:
    """Whether it is CUDA that the script names; from then on its models change at once."""
    named = cuda.is_applied() and cuda.means_cuda(device)
    if named:
        cuda.first_use()
    return named


def _conversion(module: torch.nn.Module, asked: Any) -> Any:
    named = any(asked is half for half in _HALVES)
    return of_model(asked) if named and _is_model(module) else asked


def _is_model(module: torch.nn.Module) -> bool:
    """Whether it is a model of diffusers or transformers, or holds one."""
    return any(map(_is_of_a_library, dict.fromkeys(map(type, module.modules()))))


@functools.cache
def _is_of_a_library(kind: type) -> bool:
    bases = {(c.__module__, c.__name__) for c in kind.__mro__}
    return any((where, name) in bases for where, name, _ in _LOADERS)


def _lay_numpy(patches: Patches) -> None:
    """Under `SD_PRECISION=bf16` the script expects the float16 or float32 that it named."""

    def make(real: Callable[..., Any]) -> Callable[..., Any]:
        def numpy(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if self.dtype is torch.bfloat16 and _chosen() is torch.bfloat16:
                return real(self.to(torch.float16), *args, **kwargs)
            return real(self, *args, **kwargs)

        return numpy

    stand_in.apply(patches, torch.Tensor, "numpy", make)
