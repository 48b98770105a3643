"""Conditions of lowerings that several engines have (see `table.Condition`)."""

from __future__ import annotations

from sdbackends.capture.graph import TensorSpec


def without_dropout(
    query: object,
    key: object,
    value: object,
    attn_mask: object = None,
    dropout_p: float = 0.0,
    *_: object,
    **__: object,
) -> str:
    """Of attention: the random numbers of its dropout must be torch's."""
    return "with dropout" if dropout_p else ""


def of_floats(x: TensorSpec, *_: object, **__: object) -> str:
    """Of what has no kernel for integers."""
    return "" if "float" in x.dtype else f"of {x.dtype}"
