"""Tiny random models of the real classes, for tests that need a model and no picture."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel


def unet(**changes: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    config: dict[str, object] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**config, **changes}).eval().requires_grad_(False)


def controlnet() -> ControlNetModel:
    return (
        ControlNetModel.from_unet(unet(), conditioning_channels=3, load_weights_from_unet=False)
        .eval()
        .requires_grad_(False)
    )


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    return (
        AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        )
        .eval()
        .requires_grad_(False)
    )


def clip_text() -> CLIPTextModel:
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        vocab_size=99,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    return CLIPTextModel(config).eval().requires_grad_(False)


def bert() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        vocab_size=99,
    )
    return BertModel(config).eval().requires_grad_(False)


def unet_inputs(batch: int = 2, size: int = 8, tokens: int = 7) -> tuple[torch.Tensor, ...]:
    """(latents (B,4,H,W), timestep (), encoder hidden states (B,T,16)), the same at every call."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 4, size, size, generator=generator),
        torch.tensor(981),
        torch.randn(batch, tokens, 16, generator=generator),
    )


def token_ids(batch: int = 2, tokens: int = 9) -> torch.Tensor:
    return torch.randint(3, 99, (batch, tokens), generator=torch.Generator().manual_seed(1))
