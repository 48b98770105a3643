"""What a case returned, as JSON and back, and whether two of them are the same.

Floats and tensors of floats are compared with a tolerance of 1e-3 of the largest value (dtype and
shape exactly), everything else exactly.
"""

from __future__ import annotations

import math
from typing import Any

TOLERANCE = 1e-3


def encode(value: Any) -> Any:
    """JSON of a case's result.

    Raises:
        TypeError: it holds something that a script would not print.
    """
    import numpy as np
    import torch

    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, torch.Tensor):
        plain = value.detach().to("cpu")
        wide = torch.view_as_real(plain) if plain.is_complex() else plain
        return {
            "tensor": str(plain.dtype).removeprefix("torch."),
            "shape": list(plain.shape),
            "values": [float(each) for each in wide.double().flatten().tolist()],
        }
    if isinstance(value, np.ndarray):
        return encode(torch.from_numpy(np.ascontiguousarray(value)))
    if isinstance(value, dict):
        return {"dict": {str(key): encode(each) for key, each in value.items()}}
    if isinstance(value, (tuple, list)):
        return [encode(each) for each in value]
    raise TypeError(f"a case returned a {type(value).__name__}: {value!r}")


def same(one: Any, other: Any) -> bool:
    """Whether two encoded results are the same to a reader."""
    if isinstance(one, dict) and isinstance(other, dict):
        if "tensor" in one and "tensor" in other:
            alike = (one["tensor"], one["shape"]) == (other["tensor"], other["shape"])
            close = (
                _close if one["tensor"].startswith(("float", "bfloat", "complex")) else list.__eq__
            )
            return alike and close(one["values"], other["values"])
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return _close([one], [other])
    return type(one) is type(other) and one == other


def short(value: Any) -> str:
    """An encoded result in a few words, for a message."""
    if isinstance(value, dict) and "tensor" in value:
        values = value["values"]
        few = ", ".join(f"{each:.5g}" for each in values[:4])
        size = math.sqrt(sum(each * each for each in values))
        dots = ", …" if len(values) > 4 else ""
        return f"{value['tensor']}{tuple(value['shape'])}[{few}{dots}; norm {size:.5g}]"
    if isinstance(value, dict) and "raised" in value:
        return f"raised {value['raised']}"
    if isinstance(value, dict):
        inner = value.get("dict", value)
        return "{" + ", ".join(f"{key}: {short(each)}" for key, each in inner.items()) + "}"
    if isinstance(value, list):
        return "(" + ", ".join(map(short, value)) + ")"
    return repr(value)


def _close(ones: list[float], others: list[float]) -> bool:
    if len(ones) != len(others):
        return False
    largest = max((abs(each) for each in ones if math.isfinite(each)), default=0.0)
    for one, other in zip(ones, others, strict=True):
        if math.isfinite(one) and math.isfinite(other):
            if abs(one - other) > TOLERANCE * largest:
                return False
        elif repr(one) != repr(other):
            return False
    return True
