"""Models called for the first time from several threads at once, many times over.

    python -m tests.faults.races jax --times 20

Each race begins with new models, so that every one of them is traced and built again, and every
result is held against plain torch's. One line a race, one for each call that ran on eager torch;
the exit code is 1 where a result was wrong or a thread raised.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

import sdbackends
from sdbackends.runtime.events import Listener
from tests import tiny_pipeline
from tests.scripts import models
from tests.scripts.in_threads import at_once

#: A round that takes as long as this hangs.
LIMIT_S = 400
#: Of the largest value: bfloat16 is nowhere here, and all engines compute in float32.
NEAR = 1e-3

Work = Callable[[int], torch.Tensor]


@dataclass
class Outcome:
    """What came of one race."""

    errors: list[str] = field(default_factory=list)
    worst: float = 0.0

    @property
    def good(self) -> bool:
        return not self.errors and self.worst < NEAR


class Eager(Listener):
    """Collects why calls ran on eager torch, and counts builds."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.reasons: list[str] = []
        self.built_now = 0

    def fell_back(self, label: str, backend: str, error: Any) -> None:
        self.reasons.append(f"{label}: {error}")

    def stayed(self, module: torch.nn.Module, reason: str) -> None:
        self.reasons.append(f"{type(module).__name__}: {reason}")

    def built(self, label: str, seconds: float, captured: float) -> None:
        self.built_now += 1


def one_model() -> Work:
    """One model, called from all threads with two sizes."""
    model = models.small()

    def work(number: int) -> torch.Tensor:
        return models.picture(model, models.X.repeat(1 + number % 2, 1, 1, 1))

    return work


def one_model_for_each() -> Work:
    """A model for each thread."""
    own = [models.small() for _ in range(THREADS)]
    with torch.no_grad():
        for number, model in enumerate(own):
            model.conv_in.weight.mul_(1 + number)

    def work(number: int) -> torch.Tensor:
        return models.picture(own[number])

    return work


def shared_pipes() -> Work:
    """Pipelines over the models of one, with what keeps a state of its own for each.

    That is the scheduler and the tokenizer: a call of a fast tokenizer sets how all pad, and on
    plain torch too two threads' calls at once give one of them the other's padding.
    """
    with tempfile.TemporaryDirectory() as folder:
        pipe = StableDiffusionPipeline.from_pretrained(tiny_pipeline.save(Path(folder)))
    pipes = []
    for _ in range(THREADS):
        own = {
            "scheduler": DDIMScheduler.from_config(pipe.scheduler.config),
            "tokenizer": copy.deepcopy(pipe.tokenizer),
        }
        parts = {**pipe.components, **own}
        pipes.append(StableDiffusionPipeline(**parts, requires_safety_checker=False))
        pipes[-1].set_progress_bar_config(disable=True)

    def work(number: int) -> torch.Tensor:
        made = pipes[number](
            "a b c",
            num_inference_steps=2,
            height=32,
            width=32,
            generator=torch.Generator().manual_seed(number),
            output_type="pt",
        )
        return made.images

    return work


THREADS = 3
RACES = {"model": one_model, "own": one_model_for_each, "pipes": shared_pipes}


def race(work: Work, expected: list[torch.Tensor], again: int = 2) -> Outcome:
    """Run `work(0)`, `work(1)`, … at the same moment, each in a thread and `again` times."""
    outcome = Outcome()

    def go(number: int) -> None:
        for _ in range(again):
            got, right = work(number), expected[number]
            gap = (got - right).abs().max() / right.abs().max()
            outcome.worst = max(outcome.worst, gap.item())

    for error in filter(None, at_once(len(expected), go)):
        outcome.errors.append(f"{type(error).__name__}: {error}")
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backend")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--race", choices=sorted(RACES), action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = [
        (name, number, RACES[name]())
        for name in options.race or RACES
        for number in range(options.times)
    ]
    expected = [[work(thread) for thread in range(THREADS)] for _, _, work in rounds]
    bad = 0
    with sdbackends.use(options.backend, log="quiet") as session:
        eager = Eager()
        session.listeners.add(eager)
        for (name, number, work), right in zip(rounds, expected, strict=True):
            faulthandler.dump_traceback_later(LIMIT_S, exit=True)
            eager.forget()
            began = time.perf_counter()
            outcome = race(work, right)
            bad += not outcome.good
            line = f"{name} {number}: {'right' if outcome.good else 'BAD'}"
            line += f", worst {outcome.worst:.1e}, {eager.built_now} built"
            print(f"{line}, {time.perf_counter() - began:.1f} s", flush=True)
            for words in [*outcome.errors, *eager.reasons]:
                print(f"    {' '.join(words.split())[:300]}", flush=True)
            faulthandler.cancel_dump_traceback_later()
    print(f"{bad} bad")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
