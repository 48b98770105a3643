"""List the ops of the op set that OneFlow's table has no lowering for.

A model with one of them runs on eager torch, and the report names it. No import of oneflow here:
the list is also read outside of the worker.
"""

from __future__ import annotations

from sdbackends.capture.opset import FAMILIES

GAPS = frozenset(
    {
        # Complex numbers: OneFlow 0.9.0 has no dtype for them.
        *FAMILIES["fft"],
        # Operations of video models, none of which OneFlow is tested with.
        "aten.avg_pool3d.default",
        "aten.scatter_add.default",
        # Overlapping windows, which no model of the tests takes on OneFlow.
        "aten.unfold.default",
    }
)
