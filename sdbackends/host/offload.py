"""What diffusers and transformers do with GPU memory, on a machine without CUDA.

Offloading moves models between a GPU and the CPU; here they are on the CPU already, so the methods
that switch it on do nothing, and say so once. A `device_map` that names CUDA means the CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from sdbackends import log
from sdbackends.host import precision
from sdbackends.host.cuda import means_cuda, note_use, on_cpu
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches

_SWITCHES = (
    "enable_model_cpu_offload",
    "enable_sequential_cpu_offload",
    "enable_group_offload",
    "enable_xformers_memory_efficient_attention",
)
_OWNERS = (
    ("diffusers.pipelines.pipeline_utils", "DiffusionPipeline"),
    ("diffusers.models.modeling_utils", "ModelMixin"),
    ("transformers.modeling_utils", "PreTrainedModel"),
)


def apply(patches: Patches) -> None:
    """Wait for the libraries and make their GPU switches harmless."""
    for module, owner in _OWNERS:
        when_imported(module, _make_harmless(owner, patches), patches)


def _make_harmless(owner: str, patches: Patches) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        kind = getattr(module, owner)
        for switch in _SWITCHES:
            if hasattr(kind, switch):
                patches.set(kind, switch, _without_effect(getattr(kind, switch)))
        real = vars(kind)["from_pretrained"].__func__

        @functools.wraps(real)
        def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("device_map") is not None:
                kwargs["device_map"] = _map_here(kwargs["device_map"])
            return real(cls, *args, **kwargs)

        patches.set(kind, "from_pretrained", classmethod(from_pretrained))

    return change


def _without_effect(real: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(real)
    def switch(self: Any, *args: Any, **kwargs: Any) -> None:
        if any(_names_no_cuda(value) for value in (*args, *kwargs.values())):
            return real(self, *args, **kwargs)  # type: ignore[no-any-return]
        log.warn_once(
            ("switch", real.__name__), f"{real.__name__}() does nothing here: there is no GPU"
        )
        note_use()
        precision.convert_model(self)  # it is for a GPU, as after `.to("cuda")`

    return switch


def _names_no_cuda(value: Any) -> bool:
    """Another accelerator, which may be there: "xpu", `torch.device("mps")`."""
    kind = getattr(value, "type", value)
    return isinstance(kind, str) and kind.partition(":")[0] in ("xpu", "mps", "npu", "hpu", "mlu")


def _map_here(device_map: Any) -> Any:
    if isinstance(device_map, dict):
        return {part: _cpu_name(device) for part, device in device_map.items()}
    # "balanced" and its kind share the models out to GPUs: diffusers needs one for that.
    return "cpu" if device_map in ("balanced", "balanced_low_0") else _cpu_name(device_map)


def _cpu_name(device: Any) -> Any:
    return str(on_cpu(device)) if means_cuda(device) else device
