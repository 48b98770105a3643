"""List the ops of the op set that OpenVINO's front end for PyTorch has no rule for.

A model with one of them runs on eager torch, and the report names it. No import of openvino here.
"""

from __future__ import annotations

from sdbackends.capture.opset import FAMILIES

GAPS = frozenset(
    {
        # Complex numbers: OpenVINO has no element type for them.
        *FAMILIES["fft"],
        "aten.cumprod.default",
        "aten.diagonal.default",
    }
)
