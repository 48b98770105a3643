"""What a person chose about the JAX lowering, and what follows for one platform.

The yaml's options and the platform come in; a `JaxOptions` goes to every lowering that asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sdbackends.engines.jax.layout import Array
from sdbackends.engines.jax_options import JaxEngineOptions

Platform = Literal["cpu", "gpu", "tpu"]
_PRECISIONS = {
    "highest": lax.Precision.HIGHEST,
    "high": lax.Precision.HIGH,
    "default": lax.Precision.DEFAULT,
}


@dataclass(frozen=True)
class JaxOptions:
    """How ops are lowered.

    Attributes:
        widest_head: of the heads that cuDNN's attention takes.
        kernel_order: where the axes of a convolution's weight (OIHW) stand in memory.
    """

    platform: Platform
    layout: str
    attention: str
    conv: str
    matmul_precision: str
    widest_head: int

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], platform: Platform, widest_head: int = 128
    ) -> JaxOptions:
        """Raises UsageError for an option or a value that is not accepted."""
        chosen = JaxEngineOptions.checked(options)
        return cls(platform, **dict(chosen), widest_head=widest_head)

    @property
    def channels_last(self) -> bool:
        return self.layout != "nchw"

    @property
    def kernel_order(self) -> tuple[int, int, int, int]:
        """HWIO for the CPU's dots and convolutions, OHWI as cuDNN's own NHWC kernels want it."""
        if not self.channels_last:
            return (0, 1, 2, 3)
        return (0, 3, 1, 2) if self.platform == "gpu" else (3, 2, 0, 1)

    def precision(self, dtype: np.dtype) -> lax.Precision | None:
        """True float32 products by default: GPUs and TPUs would silently take fewer bits."""
        if dtype != jnp.float32:
            return None
        if self.matmul_precision != "auto":
            return _PRECISIONS[self.matmul_precision]
        return None if self.platform == "cpu" else lax.Precision.HIGHEST

    def accumulator(self, dtype: np.dtype) -> np.dtype | None:
        """On a CPU 16-bit operands are only multiplied as such when the sum is float32."""
        narrow = dtype in (jnp.bfloat16, jnp.float16)
        return np.dtype(np.float32) if narrow and self.platform == "cpu" else None

    def dot(self, left: Array, right: Array, *, contract: int = 0) -> Array:
        """Product over the last axis of `left` and axis `contract` of the matrix `right`."""
        dims = (((left.ndim - 1,), (contract,)), ((), ()))
        return lax.dot_general(
            left,
            right,
            dims,
            precision=self.precision(left.dtype),
            preferred_element_type=self.accumulator(left.dtype),
        )


def platform_of(device: jax.Device) -> Platform:
    """XLA's name of a device's platform, with every GPU under one name."""
    return cast(
        "Platform", "gpu" if device.platform in ("gpu", "cuda", "rocm") else device.platform
    )


def widest_head_of(device: jax.Device) -> int:
    """Of the heads that cuDNN's attention takes on this device: from compute capability 9 on more.

    SD 1.5 has heads of width 160.
    """
    major = str(getattr(device, "compute_capability", "")).partition(".")[0]
    return 256 if major.isdecimal() and int(major) >= 9 else 128
