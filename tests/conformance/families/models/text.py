"""Tokenizers and text encoders of all families: the real classes and flags, tiny and random.

CLIP and BERT read with the tokenizers of the embedded models. T5 and XLM-R get tokenizers of their
own class with a vocabulary of a few words and all letters, made here.
"""

from __future__ import annotations

import string
from typing import Any

from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
    RobertaSeriesConfig,
    RobertaSeriesModelWithTransformation,
)
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

from sdbackends.paths import pipelines_dir
from tests.conformance.families.models.weights import filled

_TINY = pipelines_dir() / "tiny"
_WORDS = ("big", "red", "circle", "blue", "background")
_CHINESE = "蓝色背景上的红大圆形"

#: The published models say eos_token_id 2, which no prompt holds: the pooled state is then taken
#: where the token's number is largest, another way through the model than with a true one.
_CLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "max_position_embeddings": 77,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "projection_dim": 32,
}


def tokenizer(**changes: Any) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(_TINY / "sd" / "tokenizer", **changes)


def bilingual_tokenizer() -> CLIPTokenizer:
    """CLIP's words, and Chinese ones after them, in prompts of up to 512."""
    words = tokenizer(model_max_length=512)
    words.add_tokens(list(_CHINESE))
    return words


def clip_text(**changes: Any) -> CLIPTextModel:
    """ViT-L/14 of OpenAI: quick GELU."""
    return filled(CLIPTextModel(_clip_config(**changes)))


def clip_text_with_projection(**changes: Any) -> CLIPTextModelWithProjection:
    """ViT-bigG/14 of OpenCLIP: GELU, and a projection of the pooled state."""
    config = _clip_config(**{"hidden_act": "gelu", **changes})
    return filled(CLIPTextModelWithProjection(config), seed=1)


def _clip_config(**changes: Any) -> CLIPTextConfig:
    return CLIPTextConfig(**{**_CLIP, "vocab_size": len(tokenizer()), **changes})


def bert_tokenizer() -> BertTokenizer:
    return BertTokenizer.from_pretrained(_TINY / "taiyi" / "tokenizer")


def bert() -> BertModel:
    """RoBERTa-wwm-ext: BERT's classes, 512 positions."""
    config = BertConfig(
        vocab_size=len(bert_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=512,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
    )
    return filled(BertModel(config))


def xlm_tokenizer() -> XLMRobertaTokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    return XLMRobertaTokenizer(
        vocab=[*_unigrams(special, [*_WORDS, *_CHINESE]), ("<mask>", 0.0)], model_max_length=77
    )


def xlm_roberta() -> RobertaSeriesModelWithTransformation:
    """XLM-R, masked, with AltDiffusion's linear layer after it; positions start behind the pad."""
    config = RobertaSeriesConfig(
        vocab_size=len(xlm_tokenizer()),
        hidden_size=48,
        intermediate_size=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        project_dim=32,
        pooler_fn="average",
        use_attention_mask=True,
    )
    return filled(RobertaSeriesModelWithTransformation(config))


def t5_tokenizer(**changes: Any) -> T5Tokenizer:
    special = ["<pad>", "</s>", "<unk>"]
    return T5Tokenizer(vocab=_unigrams(special, _WORDS), extra_ids=0, **changes)


def t5() -> T5EncoderModel:
    """T5 v1.1 XXL's encoder: gated GELU, buckets of relative positions in the first layer."""
    config = T5Config(
        vocab_size=len(t5_tokenizer()),
        d_model=64,
        d_kv=8,
        d_ff=64,
        num_heads=4,
        num_layers=2,
        feed_forward_proj="gated-gelu",
        layer_norm_epsilon=1e-6,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        tie_word_embeddings=False,
    )
    return filled(T5EncoderModel(config))


def _unigrams(special: list[str], words: Any) -> list[tuple[str, float]]:
    """SentencePiece's table: special tokens, whole words, and letters for all others."""
    pieces = [f"▁{word}" for word in words] + ["▁", *string.ascii_lowercase, *string.punctuation]
    unique = [piece for piece in dict.fromkeys(pieces) if piece not in special]
    return [(piece, 0.0) for piece in special] + [
        (piece, -float(len(piece) < 3)) for piece in unique
    ]
