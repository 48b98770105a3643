"""List the arguments that the rules of OpenVINO's front end do not take.

A `Condition` of `engines/lowering/table.py` each: "" where the rule takes the arguments, else the
words that follow the op's name in a report. The model then runs on eager torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sdbackends.capture.graph import TensorSpec
from sdbackends.engines.lowering.conditions import of_floats, without_dropout
from sdbackends.engines.lowering.table import Condition


def with_axes(x: TensorSpec, *_: object, **__: object) -> str:
    """Of what asks its input for an axis."""
    return "" if x.shape else "of a tensor without axes"


def not_empty(*arguments: object, **_: object) -> str:
    """Of matrix products."""
    tensors = (one for one in arguments if isinstance(one, TensorSpec))
    return "of an empty tensor" if any(0 in one.shape for one in tensors) else ""


def of_finite_numbers(*arguments: object, **_: object) -> str:
    """Of arithmetic: a negative number times infinity is NaN there (2026.4, CPU)."""
    numbers = (one for one in arguments if isinstance(one, float))
    return "" if all(map(math.isfinite, numbers)) else "with a number that is not finite"


def of_windows(
    x: TensorSpec,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> str:
    """Of average pooling."""
    cut = ceil_mode and divisor_override is not None and not _fits(x, kernel_size, stride, padding)
    return of_floats(x) or ("with divisor_override and windows that are cut" if cut else "")


def _fits(
    x: TensorSpec, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> bool:
    """Whether the windows end where the padded tensor does."""
    sizes = x.shape[-len(kernel) :]
    steps = stride or kernel
    around = padding if len(padding) == len(kernel) else [*padding] * len(kernel)
    return all(
        (size + 2 * pad - window) % step == 0
        for size, window, step, pad in zip(sizes, kernel, steps, around, strict=False)
    )


_ARITHMETIC = (
    "aten.add.Scalar",
    "aten.add.Tensor",
    "aten.div.Scalar",
    "aten.div.Scalar_mode",
    "aten.div.Tensor",
    "aten.div.Tensor_mode",
    "aten.mul.Scalar",
    "aten.mul.Tensor",
    "aten.pow.Scalar",
    "aten.pow.Tensor_Scalar",
    "aten.sub.Scalar",
    "aten.sub.Tensor",
)
CONDITIONS: Mapping[str, Condition] = {
    **dict.fromkeys(_ARITHMETIC, of_finite_numbers),
    "aten.addmm.default": not_empty,
    "aten.atan2.default": of_floats,
    "aten.avg_pool2d.default": of_windows,
    "aten.avg_pool3d.default": of_windows,
    "aten.bmm.default": not_empty,
    "aten.index_select.default": with_axes,
    "aten.linear.default": not_empty,
    "aten.mm.default": not_empty,
    "aten.scaled_dot_product_attention.default": without_dropout,
    "aten.unfold.default": with_axes,
}
