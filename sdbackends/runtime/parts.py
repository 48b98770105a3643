"""Tell which part of a pipeline a model is, by its class."""

from __future__ import annotations

import torch


def part_of(module: torch.nn.Module) -> str:
    """Return the model's part: one of `settings.PARTS`."""
    kind = type(module)
    name, package = kind.__name__, kind.__module__
    if ".autoencoders." in package or name.startswith(("Autoencoder", "VQModel")):
        return "vae"
    for part, words in (("controlnet", ("ControlNet", "T2IAdapter")), ("unet", ("UNet",))):
        if any(word in name for word in words):
            return part
    if not any(c.__module__.startswith("transformers.") for c in kind.__mro__):
        return "transformer"
    return "image_encoder" if "Vision" in name or "Image" in name else "text_encoder"


def label_of(module: torch.nn.Module) -> str:
    """Name the model in messages: "unet (UNet2DConditionModel)"."""
    return f"{part_of(module)} ({type(module).__name__})"
