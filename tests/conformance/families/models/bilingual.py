"""Stable Diffusion 1.x that reads other languages: the UNet of 1.4 behind other text encoders."""

from __future__ import annotations

from diffusers import AltDiffusionPipeline, StableDiffusionPipeline

from tests.conformance.families.catalog import family
from tests.conformance.families.models.stable_diffusion import (
    autoencoder,
    published_scheduler,
    stable_diffusion,
    unet,
)
from tests.conformance.families.models.text import bert, bert_tokenizer, xlm_roberta, xlm_tokenizer

CHINESE = "蓝色背景上的红色大圆形"


@family("taiyi", "Taiyi-1B-Chinese", prompt=CHINESE, num_inference_steps=2)
def taiyi() -> StableDiffusionPipeline:
    """BERT, whose prompts are padded to 512."""
    return stable_diffusion(text_encoder=bert(), tokenizer=bert_tokenizer())


@family("taiyi_en", "Taiyi-1B-Chinese-EN", prompt=f"{CHINESE}, a circle", num_inference_steps=2)
def taiyi_en() -> StableDiffusionPipeline:
    """1.4 trained on, its CLIP encoder and UNet together: CLIP's bytes are enough for Chinese."""
    return stable_diffusion()


@family("altdiffusion", "AltDiffusion", prompt=CHINESE, num_inference_steps=2)
def altdiffusion() -> AltDiffusionPipeline:
    """XLM-R with a mask of the padding; diffusers keeps the pipeline among the deprecated ones."""
    return AltDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=xlm_roberta(),
        tokenizer=xlm_tokenizer(),
        unet=unet(),
        scheduler=published_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
