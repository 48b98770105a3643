"""The options of the inductor engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sdbackends.engines.options import EngineOptions

Mode = Literal["default", "auto", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]


class InductorOptions(EngineOptions):
    """Hold what a person may choose about torch.compile."""

    engine = "inductor"

    mode: Mode = Field(
        "default",
        description="torch.compile's mode; auto is reduce-overhead, which records CUDA graphs, on "
        "a GPU and default elsewhere",
    )
    freezing: bool = Field(False, description="weights become constants of the program")
    channels_last: bool = Field(
        False, description="kernels of convolutions as copies in the order that inductor wants"
    )
    fused_qkv: bool = Field(False, description="one matrix product for query, key and value")
    dynamic: bool = Field(False, description="one program for all sizes, a little slower each")
