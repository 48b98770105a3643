"""The parts of the two pipelines: sizes, schedule, and how they are put together and saved.

`build_vae`, `build_unet`, `build_clip`, `build_bert` and `build_scheduler` make untrained
parts; `save_pipeline`, or `save_vae` for that part alone, writes trained ones in diffusers'
layout as float16 safetensors that a plain `StableDiffusionPipeline.from_pretrained(folder)`
loads as float32.
"""

import copy
import json
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from shapes import RESOLUTION
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
)
from vocabulary import BERT_LENGTH, CLIP_LENGTH

LATENT = RESOLUTION // 8
WIDTH = 128  # of the text states


def build_vae() -> AutoencoderKL:
    """64x64x3 to 8x8x4 and back."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=RESOLUTION,
    )


def build_unet() -> UNet2DConditionModel:
    """Two levels, 8x8 and 4x4, both with cross-attention to the text."""
    return UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder of two layers."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CLIP_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_bert(tokenizer: BertTokenizer) -> BertModel:
    """A BERT text encoder of two layers, as Taiyi has one of twelve."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=BERT_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertModel(config)


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion 1.x, stepped by DDIM.

    Not by PNDM: what a prompt asks for is so definite here that PNDM's fourth-order steps,
    stable only for small ones, overshoot at the usual guidance and end in other colours.
    """
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        set_alpha_to_one=False,
        steps_offset=1,
        clip_sample=False,
    )
    scheduler.register_to_config(skip_prk_steps=True)  # for a PNDM made from this config
    return scheduler


def save_pipeline(
    folder: Path,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel | BertModel,
    tokenizer: CLIPTokenizer | BertTokenizer,
) -> None:
    """Write the pipeline with float16 weights; the parts passed in stay as they are."""
    parts = [copy.deepcopy(part).cpu().half() for part in (vae, unet, text_encoder)]
    pipeline = StableDiffusionPipeline(
        vae=parts[0],
        unet=parts[1],
        text_encoder=parts[2],
        tokenizer=tokenizer,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    files = {path.name: path.read_bytes() for path in (folder / "tokenizer").glob("*")}
    pipeline.save_pretrained(folder)
    for name, content in files.items():
        (folder / "tokenizer" / name).write_bytes(content)
    for config in folder.glob("*/config.json"):
        _tidy(config)


def save_vae(folder: Path, vae: AutoencoderKL) -> None:
    """Write the autoencoder alone, as float16; the one passed in stays as it is."""
    copy.deepcopy(vae).cpu().half().save_pretrained(folder)
    _tidy(folder / "config.json")


def _tidy(path: Path) -> None:
    """Name float32, as transformers loads what config.json names where diffusers loads float32,
    and forget where the weights once lay."""
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    for key in ("dtype", "torch_dtype"):
        if key in config:
            config[key] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
