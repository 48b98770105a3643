"""Refuse calls that a trace unrolls into more operations than an engine can compile.

A trace has no loops. Slicing and chunking, which save eager torch memory by doing a layer in many
small steps, become that many copies of the layer: a UNet of SDXL under
`set_attention_slice("max")` is 89,000 operations instead of 4,400. XLA had not compiled a UNet of
32,000 after 15 minutes, and 19 GB.
"""

from __future__ import annotations

import operator

from torch.fx import GraphModule

from sdbackends.errors import CaptureError

#: Calls of torch functions in one call of a model. SDXL's UNet makes 4,400,
#: and 15,000 under `enable_attention_slicing()`.
LIMIT = 20_000


def refuse_long(graph: GraphModule) -> None:
    """Raises: CaptureError where Dynamo's graph has more than `LIMIT` calls."""
    calls = (node for node in graph.graph.nodes if node.op.startswith("call_"))
    if sum(node.target is not operator.getitem for node in calls) > LIMIT:
        raise CaptureError(
            "the model cannot be captured",
            why=f"one call of it is more than {LIMIT} operations",
            fix="switch off what cuts layers into small steps (enable_attention_slicing, "
            "enable_forward_chunking): engines plan their memory themselves",
        )
