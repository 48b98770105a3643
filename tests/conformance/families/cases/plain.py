"""Text to image, of every family."""

from __future__ import annotations

from typing import Any

import torch

from tests.conformance.families.catalog import FAMILIES, case


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@case(" ".join(FAMILIES), "text to image", "Families")
def text_to_image(pipe: Any, call: dict[str, Any]) -> Any:
    return pipe(**call, generator=seed(), output_type="np").images
