"""Functions of tensors that OneFlow lacks, composed of those it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.oneflow_host.creation import from_data
from sdbackends.oneflow_host.registry import provides, tensor_method


@provides("torch.is_tensor")
def is_tensor(thing: Any) -> bool:
    return isinstance(thing, flow.Tensor)


@provides("torch.lerp")
@tensor_method("lerp")
def lerp(input: Any, end: Any, weight: Any) -> Any:
    return input + weight * (end - input)


@provides("torch.outer")
@tensor_method("outer")
def outer(input: Any, vec2: Any) -> Any:
    return input.unsqueeze(1) * vec2.unsqueeze(0)


@provides("torch.isin")
def isin(elements: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """By numpy: sizes are those of a vocabulary's special tokens."""
    found = np.isin(_array(elements), _array(test_elements), invert=invert)
    return from_data(found)


@provides("torch.unflatten")
@tensor_method("unflatten")
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    at = dim % input.ndim
    return input.reshape(*input.shape[:at], *sizes, *input.shape[at + 1 :])


@provides("torch.nan_to_num")
@tensor_method("nan_to_num")
def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    limits = flow.finfo(input.dtype)
    result = flow.where(flow.isnan(input), flow.full_like(input, nan), input)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    infinite = flow.isinf(result)
    bounded = flow.where(result > 0, flow.full_like(result, high), flow.full_like(result, low))
    return flow.where(infinite, bounded, result)


def _array(thing: Any) -> Any:
    return thing.numpy() if isinstance(thing, flow.Tensor) else thing
