"""torch's names of dtypes and what stands for them in OneFlow and in numpy.

OneFlow has no 16-bit integers and no complex numbers; 16-bit floats have kernels on CUDA alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oneflow as flow

#: torch's name -> OneFlow's dtype.
DTYPES: Mapping[str, Any] = {
    "float64": flow.float64,
    "float32": flow.float32,
    "float16": flow.float16,
    "int64": flow.int64,
    "int32": flow.int32,
    "int8": flow.int8,
    "uint8": flow.uint8,
    "bool": flow.bool,
}
_FLOATING = (flow.float64, flow.float32, flow.float16)
#: From wide to narrow; the first that one of two operands has is what both become.
_RANK = (
    flow.float64,
    flow.float32,
    flow.float16,
    flow.int64,
    flow.int32,
    flow.int8,
    flow.uint8,
    flow.bool,
)


def on(device_type: str) -> tuple[str, ...]:
    """The dtypes that a device ("cpu", "cuda") has kernels for, by torch's names."""
    return tuple(name for name in DTYPES if device_type != "cpu" or name != "float16")


def is_floating(dtype: Any) -> bool:
    return dtype in _FLOATING


def common(*tensors: Any) -> Any:
    """A dtype that holds the values of all of the tensors."""
    present = [tensor.dtype for tensor in tensors]
    if flow.uint8 in present and flow.int8 in present:
        return flow.int32
    return next(dtype for dtype in _RANK if dtype in present)
