"""The precision in which torch computes single elements of 16 bits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of 16-bit values torch computes in float32 and rounds once, at the end."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_wide, args), **{name: _wide(v) for name, v in kwargs.items()})

    return call


def _wide(value: Any) -> Any:
    narrow = isinstance(value, jax.Array) and value.dtype in (jnp.bfloat16, jnp.float16)
    return value.astype(jnp.float32) if narrow else value
