"""What scripts do to need less memory: slices, tiles, layouts, offloading.

Offloading to the CPU needs a GPU to load back to. Under a session such a machine is played, so the
switches are turned there; plain torch, which has none, draws without them.
"""

from __future__ import annotations

from typing import Any

import torch

from sdbackends import session
from tests.conformance.families.cases.features import images
from tests.conformance.families.catalog import case

Call = dict[str, Any]
MEMORY = "Memory"


def in_session() -> bool:
    return session.active() is not None


@case("sd15", "attention slicing, on and off", MEMORY)
def attention_slicing(pipe: Any, call: Call) -> Any:
    drawn = []
    for size in ("auto", "max", 1):
        pipe.enable_attention_slicing(size)
        drawn.append(images(pipe, call))
    pipe.disable_attention_slicing()
    return [*drawn, images(pipe, call)]


@case("sd15", "VAE slicing", MEMORY)
def vae_slicing(pipe: Any, call: Call) -> Any:
    pipe.vae.enable_slicing()
    return images(pipe, call, num_images_per_prompt=2)


@case("sd15", "VAE tiling, switched on later", MEMORY)
def vae_tiling(pipe: Any, call: Call) -> Any:
    """Tiles smaller than the picture, whose seams overlap."""
    whole = images(pipe, call)
    pipe.vae.enable_tiling()
    pipe.vae.tile_sample_min_size, pipe.vae.tile_latent_min_size = 32, 4
    return [whole, images(pipe, call)]


@case("sd15", "channels_last", MEMORY)
def channels_last(pipe: Any, call: Call) -> Any:
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    return images(pipe, call)


@case("sd15", 'pipe.to("cuda")', MEMORY)
def to_cuda(pipe: Any, call: Call) -> Any:
    return images(pipe.to("cuda") if in_session() else pipe, call)


@case("sd15", "model CPU offload, the switch (nothing moves without a GPU)", MEMORY)
def model_cpu_offload(pipe: Any, call: Call) -> Any:
    if in_session():
        pipe.enable_model_cpu_offload()
    return images(pipe, call)


@case("sd15", "sequential CPU offload, the switch (likewise)", MEMORY)
def sequential_cpu_offload(pipe: Any, call: Call) -> Any:
    if in_session():
        pipe.enable_sequential_cpu_offload()
    return images(pipe, call)


@case("sd15", "group offload, the switch (likewise)", MEMORY)
def group_offload(pipe: Any, call: Call) -> Any:
    if in_session():
        pipe.unet.enable_group_offload(torch.device("cuda"), torch.device("cpu"))
        pipe.enable_group_offload(
            torch.device("cuda"), torch.device("cpu"), exclude_modules=["unet"]
        )
    return images(pipe, call)


@case("sd15", "weights on the way through accelerate", MEMORY)
def accelerate_hook(pipe: Any, call: Call) -> Any:
    """The hook of model offloading itself, with the CPU in the GPU's place."""
    from accelerate import cpu_offload_with_hook

    pipe.unet, hook = cpu_offload_with_hook(pipe.unet, torch.device("cpu"))
    drawn = images(pipe, call)
    hook.offload()
    hook.remove()
    return [drawn, images(pipe, call)]
