"""The embedded pipelines on every engine: one session an engine, kept over all its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

import sdbackends
from sdbackends.runtime import program_cache
from sdbackends.runtime.verify import OutputDifference, compare

SCHEDULERS = {
    "pndm": PNDMScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}
PROMPTS = {"sd": "a big red circle on a blue background", "taiyi": "蓝色背景上的红色大圆形"}


@dataclass
class Embedded:
    """The two pipelines, the pictures that plain torch makes, and every model's figures."""

    pipes: dict[str, StableDiffusionPipeline]
    reference: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    figures: dict[tuple[str, str], OutputDifference] = field(default_factory=dict)

    def picture(self, model: str, scheduler: str, **changes: Any) -> np.ndarray:
        """20 steps from seed 0: uint8 (H, W, 3)."""
        pipe = self.pipes[model]
        pipe.scheduler = SCHEDULERS[scheduler].from_config(pipe.scheduler.config)
        call = {"prompt": PROMPTS[model], "num_inference_steps": 20, **changes}
        image = pipe(**call, generator=torch.Generator().manual_seed(0)).images[0]
        return np.asarray(image)


@pytest.fixture(scope="session")
def embedded(embedded_models) -> Embedded:
    pipes = {}
    for name, folder in embedded_models.items():
        pipes[name] = StableDiffusionPipeline.from_pretrained(folder)
        pipes[name].set_progress_bar_config(disable=True)
    made = Embedded(pipes)
    for model in pipes:
        for scheduler in SCHEDULERS:
            made.reference[model, scheduler] = made.picture(model, scheduler)
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`--engines` chooses; `graph_engine` leaves out those that take long to build anew."""
    engines = [name for name in metafunc.config.getoption("--engines").split(",") if name]
    if "graph_engine" in metafunc.fixturenames:
        quick = [name for name in engines if not name.startswith("compile")]
        metafunc.parametrize("graph_engine", quick)
    for name in ("engine", "on_engine"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, engines, indirect=name == "on_engine", scope="module")


@pytest.fixture(scope="module")
def on_engine(request, embedded) -> Any:
    """The name of an engine that all models run on, falling back forbidden.

    Of a module and no longer: tests of other modules that follow in the same process find torch as
    it is without a session.
    """
    seen = pytest.MonkeyPatch()
    embedded.figures.clear()
    with sdbackends.use(request.param, verify=True, fallback="error") as session:

        def record(reference: Any, result: Any) -> OutputDifference:
            figures = compare(reference, result)
            embedded.figures[request.param, str(len(embedded.figures))] = figures
            return figures

        seen.setattr(program_cache, "compare", record)
        assert session.settings.verify
        yield request.param
        seen.undo()
