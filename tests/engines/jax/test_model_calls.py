"""Calls of models that no pipeline of tests/families makes give torch's results at float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
import transformers
from calls import Call, rand, ready, tokens
from helpers import run, worst

from sdbackends.engines.jax.engine import JaxEngine


def unet(**changes: Any) -> torch.nn.Module:
    """One level with attention: enough where the change under test is in every block."""
    config: dict[str, Any] = {
        "sample_size": 16,
        "layers_per_block": 1,
        "block_out_channels": (32,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    return ready(diffusers.UNet2DConditionModel(**{**config, **changes}))


def unet_call(module: torch.nn.Module, size: int = 16, **kwargs: Any) -> Call:
    args = (rand(2, 4, size, size), torch.tensor(981), rand(2, 77, 32))
    return Call(module, args, {"return_dict": False, **kwargs})


def odd_size() -> Call:
    """A size that is no multiple of the downsampling: upsampling by `size`, not by a factor."""
    two_levels = unet(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    return unet_call(two_levels, size=15)


def masked_text() -> Call:
    """A text mask, as pipelines with padded prompts send it."""
    mask = torch.ones(2, 77, dtype=torch.bool)
    mask[:, 40:] = False
    return unet_call(unet(), encoder_attention_mask=mask)


def class_labels() -> Call:
    return unet_call(unet(num_class_embeds=10), class_labels=torch.tensor([1, 9]))


def masked_hidden_states() -> Call:
    """CLIP's hidden states of prompts that are padded."""
    config = transformers.CLIPTextConfig(
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=100,
        eos_token_id=2,
    )
    mask = torch.ones(2, 77, dtype=torch.long)
    mask[1, 20:] = 0
    module = ready(transformers.CLIPTextModel(config))
    return Call(module, (tokens(2, 77), mask), {"output_hidden_states": True})


@pytest.mark.parametrize("make", [odd_size, masked_text, class_labels, masked_hidden_states])
def test_a_call_agrees_with_torch(make: Callable[[], Call], engine: JaxEngine) -> None:
    call = make()
    expected = call.eager()
    _, result = run(engine, call)
    assert worst(result, expected) < 1e-5
