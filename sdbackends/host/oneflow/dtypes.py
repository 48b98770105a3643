"""dtypes, sizes, layouts and memory formats, as torch has them."""

from __future__ import annotations

from typing import Any

import oneflow as flow

from sdbackends.host.oneflow.registry import PROVIDED, provides


@provides("torch.memory_format")
class MemoryFormat:
    """OneFlow's CPU tensors are always contiguous: a format is accepted and changes nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"


@provides("torch.layout")
class Layout(MemoryFormat):
    """Dense is the only one."""


strided = Layout("strided")
PROVIDED["torch.strided"] = strided
for _name in ("preserve_format", "contiguous_format", "channels_last", "channels_last_3d"):
    PROVIDED[f"torch.{_name}"] = MemoryFormat(_name)
PROVIDED["torch.Size"] = flow.Size


@provides("torch.can_cast")
def can_cast(source: Any, target: Any) -> bool:
    """Whether a value of `source` may become `target` without losing its kind."""
    kinds = [_kind(dtype) for dtype in (source, target)]
    return kinds[0] <= kinds[1]


def _kind(dtype: Any) -> int:
    if dtype == flow.bool:
        return 0
    return 2 if dtype.is_floating_point else 1
