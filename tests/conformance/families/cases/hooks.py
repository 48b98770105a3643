"""diffusers' own hooks on the models (`diffusers.hooks`): kept results, left out layers, weights.

DeepCache itself is no part of diffusers; these are what it has of that kind. On a UNet it can put
two of them (kept attentions, left out layers); the block caches know the blocks of transformers.
FasterCache is for video: plain torch fails with it on the UNet, on PixArt and on Flux.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import PyramidAttentionBroadcastConfig
from diffusers.hooks import (
    FirstBlockCacheConfig,
    HookRegistry,
    LayerSkipConfig,
    TaylorSeerCacheConfig,
    apply_group_offloading,
    apply_layer_skip,
    apply_pyramid_attention_broadcast,
)

from tests.conformance.families.cases.features import images
from tests.conformance.families.catalog import case

Call = dict[str, Any]
HOOKS = "Hooks of diffusers"
#: At every timestep each second attention is the one before; the blocks are named as in the models.
_EVERY_SECOND: dict[str, Any] = {
    "spatial_attention_block_skip_range": 2,
    "spatial_attention_timestep_skip_range": (-1, 1001),
    "current_timestep_callback": lambda: 500,
}


def cached(pipe: Any, call: Call, config: Any) -> Any:
    """Four steps with the cache, and two without it again."""
    pipe.transformer.enable_cache(config)
    drawn = images(pipe, call, num_inference_steps=4)
    pipe.transformer.disable_cache()
    return [drawn, images(pipe, call)]


@case("sd15", "Pyramid Attention Broadcast", HOOKS)
def pyramid_attention_broadcast(pipe: Any, call: Call) -> Any:
    blocks = ("attentions", "transformer_blocks")
    config = PyramidAttentionBroadcastConfig(
        **_EVERY_SECOND, spatial_attention_block_identifiers=blocks
    )
    apply_pyramid_attention_broadcast(pipe.unet, config)
    return images(pipe, call, num_inference_steps=4)


@case("flux", "Pyramid Attention Broadcast", HOOKS)
def transformer_attention_broadcast(pipe: Any, call: Call) -> Any:
    return cached(pipe, call, PyramidAttentionBroadcastConfig(**_EVERY_SECOND))


@case("flux", "First Block Cache", HOOKS)
def first_block_cache(pipe: Any, call: Call) -> Any:
    return cached(pipe, call, FirstBlockCacheConfig(threshold=0.2))


@case("flux", "TaylorSeer cache", HOOKS)
def taylorseer_cache(pipe: Any, call: Call) -> Any:
    # Not the default, bfloat16: what float32 rounds another way would be another bfloat16.
    return cached(pipe, call, TaylorSeerCacheConfig(taylor_factors_dtype=torch.float32))


@case("sd15", "left out layers, on and off", HOOKS)
def layer_skip(pipe: Any, call: Call) -> Any:
    layers = "mid_block.attentions.0.transformer_blocks"
    apply_layer_skip(pipe.unet, LayerSkipConfig(indices=[0], fqn=layers))
    drawn = images(pipe, call)
    for part in pipe.unet.modules():
        if hasattr(part, "_diffusers_hook"):
            HookRegistry.check_if_exists_or_initialize(part).remove_hook("layer_skip_hook")
    return [drawn, images(pipe, call)]


@case("sd15", "weights kept in float8 (layerwise casting)", HOOKS)
def layerwise_casting(pipe: Any, call: Call) -> Any:
    pipe.unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    return images(pipe, call)


@case("sd15", "group offload, with the CPU in the GPU's place", HOOKS)
def group_offload_hooks(pipe: Any, call: Call) -> Any:
    cpu = torch.device("cpu")
    apply_group_offloading(
        pipe.unet, onload_device=cpu, offload_device=cpu, offload_type="leaf_level"
    )
    return images(pipe, call)
