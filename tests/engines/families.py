"""Tiny random models of every family, built in code, each with what it is called with.

An entry of `FAMILIES` is a function without arguments that gives the call. The shapes are small,
the structure is that of the real configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
import transformers

from tests.engines.calls import Call, rand, ready, tokens

FAMILIES: dict[str, Callable[[], Call]] = {}


def family(make: Callable[[], Call]) -> Callable[[], Call]:
    FAMILIES[make.__name__] = make
    return make


class Method(torch.nn.Module):
    """A module whose forward is another method of `inner`, as the router wraps `vae.decode`."""

    def __init__(self, inner: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.inner, self.name = inner, name

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        result = getattr(self.inner, self.name)(*args, **kwargs)
        if hasattr(result, "latent_dist"):
            return result.latent_dist.parameters
        return result


def unet(**changes: Any) -> torch.nn.Module:
    config: dict[str, Any] = {
        "sample_size": 16,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    return ready(diffusers.UNet2DConditionModel(**{**config, **changes}))


def unet_call(module: torch.nn.Module, size: int = 16, **kwargs: Any) -> Call:
    args = (rand(2, 4, size, size), torch.tensor(981), rand(2, 77, 32))
    return Call(module, args, {"return_dict": False, **kwargs})


def vae() -> diffusers.AutoencoderKL:
    return ready(
        diffusers.AutoencoderKL(
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=8,
            sample_size=32,
        )
    )


CLIP_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "max_position_embeddings": 77,
    "eos_token_id": 2,
    "projection_dim": 24,
}


def small_unet(**changes: Any) -> torch.nn.Module:
    """One level with attention: enough where the change under test is in every block."""
    blocks = {
        "block_out_channels": (32,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
    }
    return unet(**{**blocks, **changes})


@family
def unet_sd15() -> Call:
    return unet_call(unet())


@family
def unet_sd15_odd_size() -> Call:
    """A size that is no multiple of the downsampling: upsampling by `size`, not by a factor."""
    return unet_call(unet(), size=15)


@family
def unet_sd21() -> Call:
    return unet_call(unet(attention_head_dim=(2, 4), use_linear_projection=True))


def sdxl_unet(**changes: Any) -> torch.nn.Module:
    config: dict[str, Any] = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80,
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
    }
    return unet(**{**config, **changes})


def sdxl_call(module: torch.nn.Module) -> Call:
    added = {"text_embeds": rand(2, 32, seed=3), "time_ids": torch.tensor([[512.0] * 6] * 2)}
    return unet_call(module, added_cond_kwargs=added)


@family
def unet_sdxl() -> Call:
    return sdxl_call(sdxl_unet())


@family
def unet_ssd1b() -> Call:
    """Segmind's distilled SDXL: uneven depths, no attention in the middle."""
    return sdxl_call(
        sdxl_unet(
            layers_per_block=2,
            mid_block_type=None,
            transformer_layers_per_block=[[0, 0], [2, 2]],
            reverse_transformer_layers_per_block=[[2, 2, 3], [2, 1, 1]],
        )
    )


@family
def unet_fused_qkv() -> Call:
    module = small_unet()
    module.fuse_qkv_projections()
    return unet_call(module)


@family
def unet_attention_slicing() -> Call:
    module = small_unet()
    module.set_attention_slice(1)
    return unet_call(module)


@family
def unet_lora() -> Call:
    from peft import LoraConfig

    module = small_unet()
    module.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_v", "conv1"]))
    return unet_call(ready(module))


@family
def unet_masked_text() -> Call:
    """A text mask, as pipelines with padded prompts send it."""
    mask = torch.ones(2, 77, dtype=torch.bool)
    mask[:, 40:] = False
    return unet_call(small_unet(), encoder_attention_mask=mask)


@family
def unet_with_control() -> Call:
    return unet_call(
        small_unet(),
        down_block_additional_residuals=(rand(2, 32, 16, 16), rand(2, 32, 16, 16, seed=2)),
        mid_block_additional_residual=rand(2, 32, 16, 16, seed=3),
    )


@family
def unet_class_labels() -> Call:
    module = small_unet(num_class_embeds=10)
    return unet_call(module, class_labels=torch.tensor([1, 9]))


@family
def controlnet() -> Call:
    module = ready(
        diffusers.ControlNetModel(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
            conditioning_embedding_out_channels=(8, 16),
        )
    )
    args = (rand(2, 4, 16, 16), torch.tensor(500), rand(2, 77, 32), rand(2, 3, 32, 32), 0.7)
    return Call(module, args, {"return_dict": False})


@family
def vae_encode() -> Call:
    return Call(Method(vae(), "encode"), (rand(1, 3, 32, 32),))


@family
def vae_decode() -> Call:
    return Call(Method(vae(), "decode"), (rand(1, 4, 16, 16),), {"return_dict": False})


@family
def vae_decode_sliced() -> Call:
    module = vae()
    module.enable_slicing()
    return Call(Method(module, "decode"), (rand(2, 4, 16, 16),), {"return_dict": False})


@family
def vae_decode_tiled() -> Call:
    module = vae()
    module.enable_tiling()
    module.tile_sample_min_size, module.tile_latent_min_size = 16, 8
    return Call(Method(module, "decode"), (rand(1, 4, 8, 12),), {"return_dict": False})


def taesd() -> torch.nn.Module:
    return ready(
        diffusers.AutoencoderTiny(
            encoder_block_out_channels=(16, 16),
            decoder_block_out_channels=(16, 16),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        )
    )


@family
def tiny_vae_decode() -> Call:
    return Call(Method(taesd(), "decode"), (rand(1, 4, 16, 16),), {"return_dict": False})


@family
def tiny_vae_encode() -> Call:
    return Call(Method(taesd(), "encode"), (rand(1, 3, 32, 32),), {"return_dict": False})


@family
def clip_text() -> Call:
    module = ready(transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP_TEXT)))
    return Call(module, (tokens(2, 77),))


@family
def clip_text_hidden_states() -> Call:
    module = ready(transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP_TEXT)))
    mask = torch.ones(2, 77, dtype=torch.long)
    mask[1, 20:] = 0
    return Call(module, (tokens(2, 77), mask), {"output_hidden_states": True})


@family
def clip_text_projection() -> Call:
    config = transformers.CLIPTextConfig(**{**CLIP_TEXT, "hidden_act": "gelu"})
    module = ready(transformers.CLIPTextModelWithProjection(config))
    return Call(module, (tokens(2, 77),), {"output_hidden_states": True})


@family
def clip_vision() -> Call:
    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    module = ready(transformers.CLIPVisionModelWithProjection(config))
    return Call(module, (rand(1, 3, 32, 32),))


BERT = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
}


@family
def bert() -> Call:
    """Taiyi's text encoder."""
    module = ready(transformers.BertModel(transformers.BertConfig(**BERT)))
    mask = torch.ones(2, 64, dtype=torch.long)
    mask[0, 30:] = 0
    return Call(module, (tokens(2, 64), mask))


@family
def xlm_roberta() -> Call:
    """AltDiffusion's text encoder."""
    module = ready(transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**BERT)))
    mask = torch.ones(2, 77, dtype=torch.long)
    mask[0, 30:] = 0
    return Call(module, (tokens(2, 77), mask))


@family
def t5_encoder() -> Call:
    config = transformers.T5Config(
        vocab_size=100,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    module = ready(transformers.T5EncoderModel(config))
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[0, 30:] = 0
    return Call(module, (tokens(2, 40), mask))


@family
def pixart() -> Call:
    module = ready(
        diffusers.PixArtTransformer2DModel(
            num_attention_heads=4,
            attention_head_dim=8,
            num_layers=2,
            cross_attention_dim=32,
            caption_channels=24,
            sample_size=16,
            use_additional_conditions=False,
        )
    )
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[0, 9:] = 0
    kwargs = {
        "encoder_hidden_states": rand(2, 20, 24),
        "timestep": torch.tensor([7, 7]),
        "encoder_attention_mask": mask,
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        "return_dict": False,
    }
    return Call(module, (rand(2, 4, 16, 16),), kwargs)


@family
def sd3() -> Call:
    module = ready(
        diffusers.SD3Transformer2DModel(
            sample_size=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pooled_projection_dim=24,
            pos_embed_max_size=16,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
            in_channels=4,
            out_channels=4,
        )
    )
    kwargs = {
        "encoder_hidden_states": rand(2, 20, 32),
        "pooled_projections": rand(2, 24),
        "timestep": torch.tensor([7.0, 7.0]),
        "return_dict": False,
    }
    return Call(module, (rand(2, 4, 16, 16),), kwargs)


@family
def flux() -> Call:
    module = ready(
        diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=24,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        )
    )
    image_ids = torch.stack(
        [
            torch.zeros(16),
            torch.arange(16).div(4, rounding_mode="floor").float(),
            (torch.arange(16) % 4).float(),
        ],
        dim=-1,
    )
    kwargs = {
        "encoder_hidden_states": rand(1, 12, 32),
        "pooled_projections": rand(1, 24),
        "timestep": torch.tensor([0.7]),
        "img_ids": image_ids,
        "txt_ids": torch.zeros(12, 3),
        "guidance": torch.tensor([3.5]),
        "return_dict": False,
    }
    return Call(module, (rand(1, 16, 16),), kwargs)
