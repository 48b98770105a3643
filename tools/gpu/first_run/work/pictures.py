"""Whole pictures on eager torch: what every other figure stands beside."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch

from first_run.child import Turn
from first_run.work import models, timing

_PIPELINES = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}
_SCHEDULERS = ("ddim", "euler")


def main(turn: Turn, *, family: str) -> None:
    import _drawing
    import diffusers

    place = models.device(turn)
    parts = models._random_models.parts(f"{models.kind(turn)}:{family}", torch.bfloat16, place)
    pipe = getattr(diffusers, _PIPELINES[family])(**parts).to(place)
    pipe.set_progress_bar_config(disable=True)
    turn.figure(**timing.memory())
    steps, times = (2, 1) if turn.rehearsal else (20, 3)
    for name in _SCHEDULERS:
        pipe.scheduler = _drawing._scheduler(name, pipe.scheduler.config)
        _draw(pipe, steps)
        turn.figure(scheduler=name, **_measured(pipe, steps, times))
    figures, table = timing.kernels(lambda: _draw(pipe, 3), 1)
    turn.figure(**figures, steps=3, **timing.memory())
    print(table, flush=True)


def _measured(pipe: Any, steps: int, times: int) -> dict[str, Any]:
    """Seconds of whole pictures, and the milliseconds between the ends of their steps."""
    whole, between = [], []
    for _ in range(times):
        ends: list[float] = []
        timing.wait()
        began = time.perf_counter()
        _draw(pipe, steps, ends)
        whole.append(round(time.perf_counter() - began, 4))
        between.append([round(1000 * (b - a), 2) for a, b in pairwise(ends)])
    return {"picture_s": whole, "step_ms": between}


def _draw(pipe: Any, steps: int, ends: list[float] | None = None) -> None:
    def at_the_end(_pipe: Any, _step: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if ends is not None:
            timing.wait()
            ends.append(time.perf_counter())
        return given

    pipe(
        "a big red circle on a blue background",
        num_inference_steps=steps,
        generator=torch.Generator("cpu").manual_seed(0),
        callback_on_step_end=at_the_end,
        output_type="np",
    )
