"""Random weights of a size that keeps the signal alive through a whole pipeline."""

from __future__ import annotations

from typing import TypeVar

import torch

Model = TypeVar("Model", bound=torch.nn.Module)


def filled(model: Model, seed: int = 0) -> Model:
    """The model in evaluation mode; zero-initialised layers get values too, so a lost one shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.data.normal_(centre, 0.1, generator=generator)
    return model.eval().requires_grad_(False)
