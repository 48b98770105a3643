"""Say which ops the export breaks up, and into what.

What comes out is listed in `opset.py`.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.export.exported_program import _split_decomp_table_to_cia_and_python_decomp

_aten = torch.ops.aten
#: Ops that stay whole: every engine runs them better in one piece.
KEPT_WHOLE = (
    _aten.scaled_dot_product_attention.default,
    _aten.group_norm.default,
    _aten.layer_norm.default,
    _aten.silu.default,
    _aten.gelu.default,
    _aten.softmax.int,
    _aten.linear.default,
    _aten.conv2d.default,
    _aten.upsample_nearest2d.vec,
    _aten.addmm.default,
    _aten.embedding.default,
)


def decompositions() -> dict[Any, Any]:
    """Return PyTorch's decompositions without those of `KEPT_WHOLE`."""
    table: dict[Any, Any] = dict(
        torch.export.default_decompositions().items()  # type: ignore[no-untyped-call]
    )
    for op in KEPT_WHOLE:
        table.pop(op, None)
    return table


@functools.cache
def tables() -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return what becomes of composite ops, and the decompositions of the others."""
    composite, python = _split_decomp_table_to_cia_and_python_decomp(decompositions())
    return dict(composite), dict(python)
