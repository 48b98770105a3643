"""Activations, element by element, of floating tensors."""

from __future__ import annotations

import oneflow as flow
import oneflow.nn.functional as F

from sdbackends.engines.oneflow.ops.registry import lowers
from sdbackends.engines.oneflow.ops.tensors import Tensor, wide


@lowers("aten.silu.default")
def silu(x: Tensor) -> Tensor:
    return F.silu(x)


@lowers("aten.gelu.default")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return flow._C.gelu_with_approximate(x, approximate)


@lowers("aten.leaky_relu.default")
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return flow._C.leaky_relu(x, negative_slope)


@lowers("aten.elu.default")
def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    below = alpha * flow.expm1(flow.clamp(wide(x), None, 0.0) * input_scale)
    return scale * (flow.clamp(wide(x), 0.0, None) + below)


@lowers("aten.hardtanh.default")
def hardtanh(x: Tensor, min_val: float = -1, max_val: float = 1) -> Tensor:
    return flow.clamp(x, float(min_val), float(max_val))
