"""Pictures of the embedded model on the card, CUDA graphs, NaN that is found afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdbackends
from sdbackends.errors import NotFiniteError
from sdbackends.paths import pipelines_dir
from tests.engines.calls import ready


def draw(folder: Path, place: torch.device, scheduler: str) -> np.ndarray:
    from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline

    kinds = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler}
    pipe = StableDiffusionPipeline.from_pretrained(folder).to(place)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = kinds[scheduler].from_config(pipe.scheduler.config)
    pictures = pipe(
        "a big red circle on a blue background",
        num_inference_steps=8,
        generator=torch.Generator("cpu").manual_seed(0),
        output_type="np",
    ).images
    return np.asarray(pictures)


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
@pytest.mark.parametrize("backend", ["compile", "jax"])
def test_the_embedded_model(place: torch.device, backend: str, scheduler: str) -> None:
    # Not the fixture of all tests: the kit runs these without tests/conftest.py.
    folder = pipelines_dir() / "tiny" / "sd"
    expected = draw(folder, place, scheduler)
    with sdbackends.use(backend, device=place.type, fallback="error"):
        found = draw(folder, place, scheduler)
    assert np.abs(found - expected).max() * 255 <= 3


def test_results_of_a_cuda_graph_outlive_the_next_call(place: torch.device, program: Any) -> None:
    module = ready(torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.SiLU())).to(place)
    call = program(module, "compile", mode="reduce-overhead")
    given = [torch.randn(4, 64, device=place) for _ in range(6)]
    results = [call(x) for x in given]
    for x, result in zip(given, results, strict=True):
        torch.testing.assert_close(result, module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "compile"])
def test_nan_of_a_later_call_is_found_afterwards(
    place: torch.device, program: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU it is raised by the call after; on a CPU by the call itself."""
    from sdbackends.runtime import program_cache

    module = ready(torch.nn.Linear(8, 8)).to(place)
    call, x = program(module, backend), torch.ones(2, 8, device=place)
    run = program_cache._Answer._run

    def spoil(one: Any, args: Any) -> Any:
        whole = one._program
        one._program = lambda *given: tuple(y * float("nan") for y in whole(*given))
        try:
            return run(one, args)
        finally:
            one._program = whole

    for _ in range(4):
        call(x)
    monkeypatch.setattr(program_cache._Answer, "_run", spoil)

    def several() -> None:
        for _ in range(20):
            call(x)

    with pytest.raises(NotFiniteError):
        several()
    monkeypatch.undo()
    torch.testing.assert_close(call(x), module(x), rtol=1e-4, atol=1e-4)
