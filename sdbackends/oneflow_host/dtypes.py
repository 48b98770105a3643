"""dtypes, sizes, layouts and memory formats, as torch has them."""

from __future__ import annotations

from typing import Any

import oneflow as flow

from sdbackends import log
from sdbackends.oneflow_host.missing_names import Absent
from sdbackends.oneflow_host.registry import PROVIDED, provides


@provides("torch.memory_format")
class MemoryFormat:
    """OneFlow's CPU tensors are always contiguous: a format is accepted and changes nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


@provides("torch.layout")
class TensorLayout(MemoryFormat):
    """Dense is the only one."""


strided = TensorLayout("strided")
PROVIDED["torch.strided"] = strided
for _name in ("preserve_format", "contiguous_format", "channels_last", "channels_last_3d"):
    PROVIDED[f"torch.{_name}"] = MemoryFormat(_name)
PROVIDED["torch.Size"] = flow.Size


def usable(dtype: Any) -> Any:
    """What a tensor asked to be `dtype` is here: OneFlow's CPU kernels are float32's alone."""
    if dtype in (flow.float16, flow.bfloat16) and not flow.cuda.is_available():
        log.warn_once("half", "OneFlow has no half precision on a CPU: float32 takes its place")
        return flow.float32
    return dtype


@provides("torch.set_default_dtype")
def set_default_dtype(dtype: Any) -> None:
    flow.set_default_dtype(usable(dtype))


@provides("torch.finfo")
def finfo(dtype: Any = None) -> Any:
    """The limits of a missing dtype are missing too."""
    if isinstance(dtype, Absent):
        return Absent(f"torch.finfo({dtype!r})", "OneFlow has no such dtype")
    return flow.finfo(flow.get_default_dtype() if dtype is None else dtype)


@provides("torch.can_cast")
def can_cast(source: Any, target: Any) -> bool:
    """Whether a value of `source` may become `target` without losing its kind."""
    kinds = [_kind(dtype) for dtype in (source, target)]
    return kinds[0] <= kinds[1]


def _kind(dtype: Any) -> int:
    if dtype == flow.bool:
        return 0
    return 2 if dtype.is_floating_point else 1
