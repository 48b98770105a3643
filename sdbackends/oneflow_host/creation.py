"""Functions that make tensors: OneFlow's, with the arguments that torch accepts.

`layout`, `memory_format` and `pin_memory` change nothing on the host and are dropped. What would
change the result and is not there in OneFlow (`out=`) raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.oneflow_host.devices import placed
from sdbackends.oneflow_host.dtypes import usable
from sdbackends.oneflow_host.missing_names import missing
from sdbackends.oneflow_host.registry import PROVIDED, provides

#: Arguments that are accepted and say nothing here.
INERT = ("layout", "memory_format", "pin_memory", "non_blocking")


def cleaned(dotted: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """torch's keyword arguments as OneFlow takes them."""
    if arguments.get("out") is not None:
        raise missing(f"{dotted}(out=…)", "OneFlow's functions always make a new tensor")
    kept = {k: v for k, v in arguments.items() if k not in (*INERT, "out") and v is not None}
    if "dtype" in kept:
        kept["dtype"] = usable(kept["dtype"])
    if "device" in kept:
        kept["device"] = placed(kept["device"])
        if kept["device"] is None:
            del kept["device"]
    return kept


def _adapted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **cleaned(f"torch.{name}", kwargs))

    return make


for _name in (
    "arange", "empty", "empty_like", "eye", "full", "full_like", "linspace", "logspace", "ones",
    "ones_like", "tensor", "zeros", "zeros_like",
):  # fmt: skip
    PROVIDED[f"torch.{_name}"] = _adapted(_name, getattr(flow, _name))


@provides("torch.as_tensor", "torch.asarray")
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    tensor = data if isinstance(data, flow.Tensor) else from_data(data)
    if dtype is not None and tensor.dtype != (dtype := usable(dtype)):
        tensor = tensor.to(dtype)
    where = placed(device)
    return tensor if where is None else tensor.to(where)


@provides("torch.from_numpy")
def from_numpy(array: np.ndarray[Any, Any]) -> Any:
    """Shares the memory where OneFlow can; a strided array is copied."""
    return flow.from_numpy(array) if array.flags.c_contiguous else from_data(array)


def from_data(data: Any) -> Any:
    """A new tensor of a number, a (nested) list, or an array of any strides."""
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(data)
        # ascontiguousarray makes a vector of a number.
        return flow.tensor(array).reshape(*data.shape) if data.shape else flow.tensor(data.item())
    return flow.tensor(data)
