"""The options of the openvino engine: a backend's yaml in, checked values out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sdbackends.engines.options import EngineOptions


class OpenvinoOptions(EngineOptions):
    """Hold how OpenVINO compiles a model."""

    engine = "openvino"

    inference_precision: Literal["auto", "f32", "bf16"] = Field(
        "auto",
        description="what OpenVINO computes in; auto: bf16 where the model is in bfloat16 and the "
        "CPU has units for it, else f32",
    )
