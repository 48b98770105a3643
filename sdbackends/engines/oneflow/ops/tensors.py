"""What every family of lowerings needs: constants, casts, and where a value lives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import oneflow as flow

#: A OneFlow tensor, eager or of a graph that is being built; the package has no types.
Tensor = Any
Dtype = Any
Number = bool | int | float
Operand = Tensor | Number


def building() -> bool:
    """True inside `nn.Graph.build`, where tensors have no values yet."""
    return bool(flow._oneflow_internal.lazy_mode.is_enabled())


_places: list[Any] = [flow.device("cpu")]


def place() -> Any:
    """The device of the program that is being run or built."""
    return _places[-1]


@contextmanager
def placed(device: Any) -> Iterator[None]:
    """Make that device the `place` of what is created inside."""
    _places.append(device)
    try:
        yield
    finally:
        _places.pop()


def is_tensor(value: Any) -> bool:
    return isinstance(value, flow.Tensor)


def filled(shape: Sequence[int], value: Number, dtype: Dtype, device: Any) -> Tensor:
    """A tensor of one value; `flow.full` is a module, which an `nn.Graph` complains of."""
    return flow._C.constant(list(shape), value, dtype=dtype, device=device)


def constant(array: np.ndarray, device: Any) -> Tensor:
    """Numbers that are known when the program is built."""
    tensor = flow.from_numpy(np.array(array, order="C"))  # a copy, which the tensor then owns
    return tensor if device.type == "cpu" else tensor.to(device)


def cast(x: Tensor, dtype: Dtype) -> Tensor:
    return x if x.dtype == dtype else x.to(dtype)


def operand(value: Operand, dtype: Dtype, device: Any) -> Tensor:
    """The operand as a tensor of that dtype."""
    return cast(value, dtype) if is_tensor(value) else filled([], value, dtype, device)


def wide(x: Tensor) -> Tensor:
    """Sums and transcendental functions of 16-bit values and of integers are taken in float32."""
    return x if x.dtype in (flow.float32, flow.float64) else x.to(flow.float32)


def to_shape(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x if tuple(x.shape) == tuple(shape) else x.expand(*shape)
