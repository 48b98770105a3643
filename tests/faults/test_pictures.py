"""Many pictures on an engine that fails at random: every one of them is right."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from sdbackends import log
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.settings import BackendChoice, Settings
from tests.faults.test_answers import WRONG, Graphs

PICTURES = 500
#: Of the calls of a program, and of builds.
OFTEN = 0.2


class Failing(Graphs):
    """Raises in builds and calls, or gives something wrong, as the dice have it."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = random.Random(0)
        self.faults: Counter[str] = Counter()
        self.change = self._change

    def build(self, *given: Any) -> Any:
        if self.dice.random() < OFTEN:
            self._raise("build")
        return super().build(*given)

    def _change(self, right: Any) -> Any:
        if self.dice.random() >= OFTEN:
            return right
        kind = self.dice.choice(["raises", *WRONG])
        self.faults[kind] += 1
        if kind == "raises":
            self._raise("call")
        return WRONG[kind](right)

    def _raise(self, where: str) -> None:
        self.faults[where] += 1
        raise self.dice.choice([RuntimeError, MemoryError, ValueError, RecursionError])(where)


def drawn(pipe: StableDiffusionPipeline, number: int) -> torch.Tensor:
    made = pipe(
        "a b c",
        num_inference_steps=1,
        height=32,
        width=32,
        generator=torch.Generator().manual_seed(number % 5),
        output_type="pt",
    )
    images: torch.Tensor = made.images
    return images


def test_every_picture_is_right(tiny_pipe_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
    pipe.set_progress_bar_config(disable=True)
    expected = [drawn(pipe, seed) for seed in range(5)]
    engine, patches, wrong = Failing(), Patches(), []
    monkeypatch.setattr(engine_pool, "create", lambda name, context: engine)
    log.forget()
    router.install(Settings(backend=BackendChoice.parse("jax"), cache_dir=None), patches)
    try:
        for number in range(PICTURES):
            if number % 100 == 0:  # the models are built anew, so that builds fail too
                pipe = StableDiffusionPipeline.from_pretrained(tiny_pipe_folder)
                pipe.set_progress_bar_config(disable=True)
            gap = (drawn(pipe, number) - expected[number % 5]).abs().max().item()
            if not gap < 1e-4:
                wrong.append((number, gap))
    finally:
        patches.undo()
    assert not wrong
    assert sum(engine.faults.values()) > PICTURES * OFTEN, engine.faults
