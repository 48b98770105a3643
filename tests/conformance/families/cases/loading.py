"""The ways to get a pipeline: from a folder, from a single file, from another pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    StableDiffusionPipeline,
)

from tests.conformance.families.cases.adapters import folder
from tests.conformance.families.cases.pipelines import HALF
from tests.conformance.families.cases.plain import seed
from tests.conformance.families.catalog import case
from tests.conformance.families.models.extra_checkpoint import single_file
from tests.conformance.families.pictures import mask, photograph


@case("sd15", "AutoPipeline from a folder", "Loading")
def auto_from_pretrained(pipe: Any, call: dict[str, Any]) -> Any:
    with folder() as files:
        pipe.save_pretrained(files)
        pipe = AutoPipelineForText2Image.from_pretrained(files)
        return pipe(**call, generator=seed(), output_type="np").images


@case("sd15", "AutoPipeline from a pipeline", "Loading", also="vae")
def auto_from_pipe(pipe: Any, call: dict[str, Any]) -> Any:
    """The same models in three pipelines, one after the other and the first again."""
    painter = AutoPipelineForImage2Image.from_pipe(pipe)
    mender = AutoPipelineForInpainting.from_pipe(painter)
    first = AutoPipelineForText2Image.from_pipe(mender)
    draw = {**call, "output_type": "np"}
    change = {**draw, **HALF, "image": photograph()}
    return [
        first(**draw, generator=seed()).images,
        painter(**change, generator=seed()).images,
        mender(**change, mask_image=mask(), generator=seed()).images,
        first(**draw, generator=seed()).images,
    ]


@case("sd15", "single file in LDM's layout (from_single_file)", "Loading")
def from_single_file(pipe: Any, call: dict[str, Any]) -> Any:
    draw = {**call, "output_type": "np"}
    expected = pipe(**draw, generator=seed()).images
    with folder() as files:
        pipe.save_pretrained(files / "configs")
        for weights in (files / "configs").rglob("*.safetensors"):
            weights.unlink()  # so that every weight comes from the one file
        loaded = StableDiffusionPipeline.from_single_file(
            str(single_file(pipe, files / "model.safetensors")),
            config=str(files / "configs"),
            safety_checker=None,
            local_files_only=True,
        )
    drawn = loaded(**draw, generator=seed()).images
    assert np.abs(drawn - expected).max() < 1e-4, "the file was not read as it was written"
    return drawn
