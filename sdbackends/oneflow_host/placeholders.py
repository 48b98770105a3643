"""Names that the tried libraries take by `from … import …`, unguarded, and OneFlow lacks.

diffusers 0.35.2 and 0.41.0, transformers 4.57.1 and 5.20.2 would not import without them. Each is
given as a placeholder to that statement alone: `hasattr` and `getattr` answer that it is not
there, and using it raises. A module of which only such names are known (`torch.fft`) can be
imported, and is hollow.
"""

from __future__ import annotations

PLACEHOLDERS: frozenset[str] = frozenset(
    {
        "torch._dynamo._trace_wrapped_higher_order_op.TransformGetItemToIndex",
        "torch.autograd.graph.save_on_cpu",
        "torch.distributions.constraints",
        "torch.fft.fftn",
        "torch.fft.fftshift",
        "torch.fft.ifftn",
        "torch.fft.ifftshift",
        "torch.fx.Proxy",
        "torch.nn.attention.flex_attention.BlockMask",
        "torch.nn.attention.flex_attention._DEFAULT_SPARSE_BLOCK_SIZE",
        "torch.nn.attention.flex_attention.create_block_mask",
        "torch.nn.attention.flex_attention.flex_attention",
    }
)
