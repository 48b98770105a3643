"""The committed tiny models load plainly and draw what they are asked; the script that made
them runs and repeats itself."""

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from diffusers import (
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from evaluate import evaluate
from prompts import chinese, english
from shapes import Scene, all_scenes, training_scenes, withheld_scenes

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny"
NAMES = ("sd", "taiyi")
LIMIT = 24_000_000
FEW = 8
BRIEF = {"vae": 2, "sd": 2, "taiyi": 8, "polish": 2}  # steps of the stages


@pytest.fixture(scope="module", params=NAMES)
def pipeline(request: pytest.FixtureRequest) -> StableDiffusionPipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = StableDiffusionPipeline.from_pretrained(TINY / request.param)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_both_together_are_small() -> None:
    sizes = [f.stat().st_size for name in NAMES for f in (TINY / name).rglob("*") if f.is_file()]
    assert 10_000_000 < sum(sizes) <= LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_layout_is_that_of_stable_diffusion(name: str) -> None:
    index = json.loads((TINY / name / "model_index.json").read_text("utf-8"))
    text = ["CLIPTextModel", "CLIPTokenizer"] if name == "sd" else ["BertModel", "BertTokenizer"]
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert [index["text_encoder"][1], index["tokenizer"][1]] == text
    assert index["scheduler"][1] == "DDIMScheduler"
    assert index["safety_checker"] == [None, None] and not index["requires_safety_checker"]
    vocabulary = {"vocab.json", "merges.txt"} if name == "sd" else {"vocab.txt"}
    assert vocabulary <= {path.name for path in (TINY / name / "tokenizer").iterdir()}
    for path in (TINY / name).rglob("*.json"):
        assert "_name_or_path" not in path.read_text("utf-8"), path


def test_loads_as_float32_and_pads_to_its_length(pipeline: StableDiffusionPipeline) -> None:
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}
    expected = 77 if type(pipeline.text_encoder).__name__ == "CLIPTextModel" else 512
    assert pipeline.tokenizer.model_max_length == expected
    embeds, _ = pipeline.encode_prompt("a red circle 红色圆形", "cpu", 1, False)
    assert embeds.shape == (1, expected, 128)


def test_draws_withheld_scenes(pipeline: StableDiffusionPipeline) -> None:
    figures, _, verdicts = evaluate(pipeline, withheld_scenes()[:FEW], steps=20)
    for share in (figures.background, figures.color, figures.shape, figures.size):
        assert share >= 1 - 1 / FEW, verdicts
    assert figures.all >= 1 - 2 / FEW, verdicts


def test_the_prompt_decides(pipeline: StableDiffusionPipeline) -> None:
    scenes = [Scene("big", "red", "circle", "blue"), Scene("small", "white", "star", "green")]
    asked, _, _ = evaluate(pipeline, scenes)
    _, _, verdicts = evaluate(pipeline, scenes[::-1])
    assert asked.all == 1
    assert [verdict.scene for verdict in verdicts] == scenes[::-1]


def test_unknown_words_do_not_crash(pipeline: StableDiffusionPipeline) -> None:
    prompt = "Zwölf quick brown foxes 🦊 跳过 — «懒狗»\n\t" * 40
    picture = pipeline(prompt, num_inference_steps=2).images[0]
    assert picture.size == (64, 64)


@pytest.mark.parametrize(
    "scheduler", [EulerDiscreteScheduler, PNDMScheduler, UniPCMultistepScheduler]
)
def test_other_schedulers_take_the_config(
    pipeline: StableDiffusionPipeline, scheduler: type
) -> None:
    kept = pipeline.scheduler
    try:
        pipeline.scheduler = scheduler.from_config(kept.config)
        figures, _, verdicts = evaluate(pipeline, withheld_scenes()[:2], steps=20, guidance=2.0)
    finally:
        pipeline.scheduler = kept
    assert figures.background == figures.color == 1, verdicts


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_bfloat16(name: str) -> None:
    loaded = StableDiffusionPipeline.from_pretrained(TINY / name, torch_dtype=torch.bfloat16)
    loaded.set_progress_bar_config(disable=True)
    scene = withheld_scenes()[0]
    prompt = english(scene) if name == "sd" else chinese(scene)
    assert loaded(prompt, num_inference_steps=2).images[0].size == (64, 64)


def test_the_withheld_scenes_are_apart_and_every_pair_of_words_is_trained() -> None:
    withheld, trained = set(withheld_scenes()), set(training_scenes())
    assert len(withheld) == 200 and len(trained) == 248
    assert not withheld & trained and withheld | trained == set(all_scenes())
    names = ("size", "color", "shape", "background")
    for first in names:
        for second in names:
            pairs = {(getattr(s, first), getattr(s, second)) for s in all_scenes()}
            assert pairs == {(getattr(s, first), getattr(s, second)) for s in trained}


def test_the_wording_is_fixed() -> None:
    scene = Scene("big", "red", "circle", "blue")
    assert english(scene) == "a big red circle on a blue background"
    assert chinese(scene) == "蓝色背景上的红色大圆形"
    assert chinese(Scene("small", "red", "circle", "blue")) == "蓝色背景上的红色小圆形"


def test_the_padding_of_taiyi_may_be_folded(tmp_path: Path) -> None:
    from architecture import build_bert, build_unet
    from diffusion import BertPrompter
    from vocabulary import build_bert_tokenizer

    torch.manual_seed(0)
    tokenizer = build_bert_tokenizer(tmp_path)
    encoder, unet = build_bert(tokenizer).eval(), build_unet().eval()
    torch.nn.init.normal_(encoder.embeddings.position_embeddings.weight)
    prompter = BertPrompter(encoder, tokenizer)
    prompter.unfold()
    prompts = ["蓝色背景上的红色大圆形", ""]
    ids = tokenizer(prompts, padding="max_length", max_length=512, return_tensors="pt").input_ids
    noise = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        text = prompter.encode(prompts)
        folded = unet(noise, 500, text.states, encoder_attention_mask=text.mask).sample
        plain = unet(noise, 500, encoder(ids)[0]).sample
        unmasked = unet(noise, 500, text.states).sample
    torch.testing.assert_close(folded, plain, atol=1e-4, rtol=0)
    assert (unmasked - plain).abs().max() > 0.01


@pytest.mark.slow
def test_the_training_script_repeats_itself(tmp_path: Path) -> None:
    once = _trained(tmp_path / "once", seed=3)
    assert set(once) == {
        f"{name}/{part}.safetensors"
        for name in NAMES
        for part in (
            "text_encoder/model",
            "unet/diffusion_pytorch_model",
            "vae/diffusion_pytorch_model",
        )
    }
    assert _trained(tmp_path / "twice", seed=3) == once
    other = _trained(tmp_path / "other", "vae", seed=4)
    assert other and not set(other.values()) & set(once.values())
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "once" / "taiyi")
    loaded.set_progress_bar_config(disable=True)
    assert loaded("红色圆形", num_inference_steps=1).images[0].size == (64, 64)


def _trained(output: Path, *stages: str, seed: int) -> dict[str, str]:
    """Run the stages for a few steps; the digests of the weights."""
    command = [sys.executable, str(TINY / "train.py"), *stages, "--output", str(output)]
    command += [f"--{name}-steps={steps}" for name, steps in BRIEF.items()]
    command += ["--copies=2", "--batch=4", "--vae-batch=2", "--threads=1", f"--seed={seed}"]
    command += ["--device=cpu"]
    subprocess.run(command, check=True, capture_output=True)
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*.safetensors"))
    }
