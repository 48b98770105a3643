"""The two tokenizers, built from the words that the training prompts use.

`build_clip_tokenizer` learns a byte-pair vocabulary (vocab.json, merges.txt) in which every
word of the prompts is one token and any other text falls back to letters and bytes;
`build_bert_tokenizer` writes a vocab.txt of Chinese characters, digits and Latin letters,
anything else being [UNK]. Both write plain files into a folder and return the loaded
tokenizer.
"""

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

from prompts import chinese, english, loose_chinese, loose_english
from shapes import training_scenes
from transformers import BertTokenizer, CLIPTokenizer

CLIP_LENGTH = 77
BERT_LENGTH = 512
START, END = "<|startoftext|>", "<|endoftext|>"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

Pair = tuple[str, str]


def build_clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """An English CLIP tokenizer of length 77 with a vocabulary of its own."""
    merges = learn_merges(english_words())
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    tokens += [left + right for left, right in merges] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "add_prefix_space": False,
        "bos_token": START,
        "do_lower_case": True,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": CLIP_LENGTH,
        "pad_token": END,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": END,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    _write_json(folder / "special_tokens_map.json", {name: settings[name] for name in names})
    return CLIPTokenizer.from_pretrained(folder)


def build_bert_tokenizer(folder: Path) -> BertTokenizer:
    """A Chinese BERT tokenizer of length 512 with a vocabulary of its own."""
    plain = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [f"##{letter}" for letter in plain if letter.isalnum()]
    tokens = [*SPECIALS, *plain, *pieces, *"，。、！？", *chinese_characters()]
    tokens = list(dict.fromkeys(tokens))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    settings = {
        "cls_token": "[CLS]",
        "do_lower_case": True,
        "mask_token": "[MASK]",
        "model_max_length": BERT_LENGTH,
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
    }
    _write_json(folder / "tokenizer_config.json", settings)
    names = ("cls_token", "mask_token", "pad_token", "sep_token", "unk_token")
    _write_json(folder / "special_tokens_map.json", {name: settings[name] for name in names})
    return BertTokenizer.from_pretrained(folder)


def english_words() -> Counter[str]:
    """The words of the English prompts with their counts, strays left out."""
    rng = random.Random(0)
    words: Counter[str] = Counter()
    for scene in training_scenes() * 8:
        words.update(english(scene).split())
        words.update(loose_english(scene, rng).replace(",", " ").split())
    return Counter({word: count for word, count in words.items() if count > 8 and word.isalpha()})


def chinese_characters() -> list[str]:
    """The characters of the Chinese prompts, the most frequent first."""
    rng = random.Random(0)
    found: Counter[str] = Counter()
    for scene in training_scenes() * 8:
        found.update(chinese(scene) + loose_chinese(scene, rng))
    usual = sorted(found, key=lambda character: (-found[character], character))
    return [character for character in usual if "\u4e00" <= character <= "\u9fff"]


def learn_merges(words: Counter[str]) -> list[Pair]:
    """Byte-pair merges, the most frequent pair first, until every word is one token."""
    split = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[Pair] = []
    while True:
        pairs: Counter[Pair] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(parts, best) for word, parts in split.items()}


def byte_symbols() -> list[str]:
    """The 256 printable characters by which byte-level BPE writes bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _merged(parts: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    at = 0
    while at < len(parts):
        step = 2 if tuple(parts[at : at + 2]) == pair else 1
        merged.append("".join(parts[at : at + step]))
        at += step
    return merged


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
