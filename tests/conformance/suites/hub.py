"""What tests of pipelines load from the hub, made here: two tokenizers and the shape of a tiny T5.

The suites run offline. Without these hardly any test of a pipeline gets past its first line; with
them only those fail under plain torch that know the pictures drawn with the original files. They
are laid as the hub's own cache is, so that `from_pretrained` finds them by name.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sdbackends.paths import pipelines_dir

_REVISION = "0" * 40


def fill(home: Path) -> None:
    """Lay the stand-ins into the hub's cache under `home` (as `HF_HOME` names it)."""
    _clip(_snapshot(home, "hf-internal-testing/tiny-random-clip"))
    _t5(_snapshot(home, "hf-internal-testing/tiny-random-t5"))


def _snapshot(home: Path, repository: str) -> Path:
    folder = home / "hub" / f"models--{repository.replace('/', '--')}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(_REVISION)
    snapshot = folder / "snapshots" / _REVISION
    snapshot.mkdir(parents=True)
    return snapshot


def _clip(folder: Path) -> None:
    """The embedded model's tokenizer: its 612 tokens fit into the 1000 of the tests' encoders."""
    shutil.copytree(pipelines_dir() / "tiny" / "sd" / "tokenizer", folder, dirs_exist_ok=True)


def _t5(folder: Path) -> None:
    """A T5 of width 32 with five layers, and a tokenizer of single characters."""
    shape: dict[str, Any] = {
        "model_type": "t5",
        "vocab_size": 1103,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 37,
        "num_layers": 5,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    _write(folder / "config.json", shape)
    characters = ["▁", *map(chr, range(ord("!"), ord("~") + 1))]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    vocabulary += [(character, -3.0) for character in characters]
    special = [
        {"id": i, "content": text, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for i, (text, _) in enumerate(vocabulary[:3])
    ]
    spaces = {"replacement": "▁", "prepend_scheme": "always", "split": True}
    end = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    tokenizer = {
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": {"type": "Metaspace", **spaces},
        "decoder": {"type": "Metaspace", **spaces},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": end,
            "pair": end,
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary},
    }
    _write(folder / "tokenizer.json", tokenizer)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    about = {"tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 0}
    _write(folder / "tokenizer_config.json", {**about, **names})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
