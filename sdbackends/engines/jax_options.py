"""The options of the jax engine.

Not in `engines/jax`, whose import makes changes that only a process with JAX in it needs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sdbackends.engines.options import EngineOptions


class JaxEngineOptions(EngineOptions):
    """Hold what a person may choose about the JAX lowering; auto leaves it to the engine."""

    engine = "jax"

    layout: Literal["auto", "nhwc", "nchw"] = Field(
        "auto", description="the order of the axes inside of the program; auto is nhwc"
    )
    attention: Literal["auto", "plain", "tiled", "library"] = Field(
        "auto", description="the way of attention; auto goes by shape and platform"
    )
    conv: Literal["auto", "native", "im2col"] = Field(
        "auto", description="the way of convolutions; auto goes by shape and platform"
    )
    matmul_precision: Literal["auto", "highest", "high", "default"] = Field(
        "auto", description="the precision of float32 products; auto goes by platform"
    )
