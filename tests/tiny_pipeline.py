"""A whole Stable Diffusion pipeline with tiny random models, saved as diffusers saves one.

Every component is of the real class, the tokenizer included (it knows small letters and digits
only). Pictures are 32x32 noise: good for "is it the same?", not for "is it a circle?".
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from tests import tiny_models

_LETTERS = string.ascii_lowercase + string.digits
_START, _END = "<|startoftext|>", "<|endoftext|>"


def save(folder: Path) -> Path:
    """Save the pipeline into `folder`, which is given back."""
    pipe = StableDiffusionPipeline(
        vae=tiny_models.autoencoder(),
        text_encoder=tiny_models.clip_text(),
        tokenizer=_tokenizer(folder),
        unet=tiny_models.unet(sample_size=16),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> CLIPTokenizer:
    words = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), _START, _END]
    vocabulary = folder / "vocab.json"
    merges = folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=77, pad_token=_END)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
