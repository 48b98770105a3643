"""Trains the text half of a pipeline: a UNet and a text encoder on encoded scenes.

`train_diffusion` predicts the noise of noised latents from prompts; one prompt in ten is
empty, so that classifier-free guidance works. A `Prompter` turns prompts into text states,
each distinct prompt of a batch once. `ClipPrompter` does so plainly; `BertPrompter` folds
the padding: a Taiyi prompt is padded to 512 tokens, which would cost more than the UNet, so
all positions from the 33rd on share one position vector. The padding tokens are then alike
through every layer, and one token whose attention logit is raised by log(480) stands for
480 of them, exactly. `BertPrompter.unfold` copies the shared vector out before saving.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from architecture import build_scheduler
from autoencoder import Latents
from diffusers import UNet2DConditionModel
from prompts import loose_chinese, loose_english
from schedule import Average, learning_rate, set_learning_rate
from shapes import Scene
from torch import Tensor, nn
from tqdm import trange
from transformers import BertModel, BertTokenizer, CLIPTextModel, CLIPTokenizer

EMPTY = 0.1
COPIES = 2  # pictures per prompt in a batch
DECAY = 0.998
SNR_LIMIT = 5.0
ALPHAS = build_scheduler().alphas_cumprod


@dataclass(frozen=True)
class Course:
    """How long and how fast to train."""

    label: str
    steps: int
    batch: int
    peak: float  # learning rate
    seed: int
    save_every: int
    text_alone: float = 0.0  # part of the steps in which the UNet stays as it is
    unet_share: float = 1.0  # the UNet's part of the learning rate


@dataclass(frozen=True)
class TextStates:
    """What the UNet attends to; `mask` as UNet2DConditionModel's encoder_attention_mask."""

    states: Tensor
    mask: Tensor | None = None

    def repeat(self, copies: int) -> "TextStates":
        """Every prompt `copies` times in a row."""
        mask = None if self.mask is None else self.mask.repeat_interleave(copies, 0)
        return TextStates(self.states.repeat_interleave(copies, 0), mask)


class Prompter(Protocol):
    """Words for a scene, and text states for words."""

    encoder: nn.Module

    def word(self, scene: Scene, rng: random.Random) -> str: ...

    def encode(self, prompts: list[str]) -> TextStates: ...

    def unfold(self) -> None: ...


class ClipPrompter:
    """English prompts through CLIP, padded to 77."""

    def __init__(self, encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer

    def word(self, scene: Scene, rng: random.Random) -> str:
        return loose_english(scene, rng)

    def encode(self, prompts: list[str]) -> TextStates:
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return TextStates(self.encoder(tokens.input_ids.to(self.encoder.device))[0])

    def unfold(self) -> None:
        """Nothing is folded."""


class BertPrompter:
    """Chinese prompts through BERT, padded to 512 in effect and to 33 in fact."""

    apart = 32  # positions with a vector of their own

    def __init__(self, encoder: BertModel, tokenizer: BertTokenizer) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer
        self.folded = tokenizer.model_max_length - self.apart

    def word(self, scene: Scene, rng: random.Random) -> str:
        return loose_chinese(scene, rng)

    def encode(self, prompts: list[str]) -> TextStates:
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=self.apart, truncation=True
        )
        padding = self.tokenizer.pad_token_id
        ids = torch.tensor([[*row, padding] for row in tokens.input_ids])
        bias = torch.zeros(len(prompts), self.apart + 1)
        bias[:, -1] = math.log(self.folded)
        ids, bias = ids.to(self.encoder.device), bias.to(self.encoder.device)
        square = bias[:, None, None].expand(-1, 1, self.apart + 1, -1)
        states = self.encoder(ids, attention_mask=square)[0]
        return TextStates(states, 1 + bias / 10000)  # the UNet adds (mask - 1) * 10000

    @torch.no_grad()
    def unfold(self) -> None:
        """Give every folded position the shared vector."""
        positions = self.encoder.embeddings.position_embeddings.weight
        positions[self.apart :] = positions[self.apart]


def train_diffusion(
    unet: UNet2DConditionModel,
    prompter: Prompter,
    latents: Latents,
    course: Course,
    save: Callable[[], None],
) -> None:
    """Train in place and end with averaged weights; `save` is called with them in place."""
    rng = random.Random(course.seed)
    text_weights, unet_weights = list(prompter.encoder.parameters()), list(unet.parameters())
    unet_group = {"params": unet_weights, "scale": 1.0}
    optimizer = torch.optim.AdamW(
        [{"params": text_weights}, unet_group], course.peak, weight_decay=1e-4, fused=True
    )
    average = Average([*text_weights, *unet_weights], DECAY)
    unet.train()
    prompter.encoder.train()
    bar = trange(course.steps, desc=course.label, mininterval=5)
    for step in bar:
        share = 0.0 if step < course.text_alone * course.steps else course.unet_share
        unet.requires_grad_(share > 0)
        optimizer.param_groups[1]["scale"] = share
        set_learning_rate(optimizer, learning_rate(step, course.steps, course.peak))
        loss = _loss(unet, prompter, latents, course.batch, rng)
        optimizer.zero_grad()
        loss.backward()
        for weights in (text_weights, unet_weights):
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update()
        if step % 10 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % course.save_every == 0 or step + 1 == course.steps:
            average.swap()
            prompter.unfold()
            save()
            average.swap()
    average.swap()
    prompter.unfold()
    unet.requires_grad_(True).eval()
    prompter.encoder.eval()


def _loss(
    unet: UNet2DConditionModel,
    prompter: Prompter,
    latents: Latents,
    batch: int,
    rng: random.Random,
) -> Tensor:
    """The noise prediction's error, weighted so that no noise level drowns the others."""
    prompts_count = batch // COPIES
    scenes = torch.randint(len(latents.scenes), (prompts_count,))
    rows = scenes.repeat_interleave(COPIES)
    columns = torch.randint(latents.mean.shape[1], rows.shape)
    clean = latents.mean[rows, columns]
    clean = clean + latents.std[rows, columns] * torch.randn(clean.shape).to(clean)
    noise = torch.randn(clean.shape).to(clean)
    times = (1000 * torch.rand(rows.shape).sqrt()).long()  # words decide where noise is strong
    alphas = ALPHAS[times]
    signal, spread = (x.view(-1, 1, 1, 1).to(clean) for x in (alphas.sqrt(), (1 - alphas).sqrt()))
    prompts = [
        "" if rng.random() < EMPTY else prompter.word(latents.scenes[scene], rng)
        for scene in scenes.tolist()
    ]
    text = prompter.encode(prompts).repeat(COPIES)
    guess = unet(
        signal * clean + spread * noise,
        times.to(clean.device),
        text.states,
        encoder_attention_mask=text.mask,
    ).sample
    ratio = (alphas / (1 - alphas)).to(clean)
    weight = (ratio.clamp(max=SNR_LIMIT) / ratio).sqrt()
    return (weight * F.mse_loss(guess, noise, reduction="none").mean((1, 2, 3))).mean()
