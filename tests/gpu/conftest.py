"""Small checks for a machine with an NVIDIA GPU: `tools/gpu/first.py` runs them as its first item.

Without CUDA each is skipped, with the reason. `SD_TEST_GPU_STAND_IN=cpu` runs them on the CPU
instead, so that the checks themselves can be tried where there is no GPU; streams, alignment and
CUDA graphs are then not tested by them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sdbackends.capture.store import CaptureStore
from sdbackends.engines.base import EngineContext
from sdbackends.runtime.build import Builder
from sdbackends.runtime.program_cache import RoutedModel

HERE = Path(__file__).parent
#: What `program` builds: a module in, a call of it on the engine out.
Make = Callable[..., Callable[..., Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def place() -> torch.device:
    """The card; skips where there is none."""
    if os.environ.get("SD_TEST_GPU_STAND_IN") == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    return torch.device("cuda", 0)


@pytest.fixture
def jax_place(place: torch.device) -> Any:
    """The same card for JAX; fails where JAX does not see it."""
    pytest.importorskip("jax")
    from sdbackends.engines.jax.device import choose

    return choose(place.type)


@pytest.fixture
def program(place: torch.device) -> Iterator[Make]:
    """Build `program(module, "jax", **options)`; an error of the engine ends the test."""
    engines: list[Any] = []

    def make(module: torch.nn.Module, name: str, **options: Any) -> Callable[..., Any]:
        if name == "jax":
            pytest.importorskip("jax")
            from sdbackends.engines.jax.engine import JaxEngine as Engine
        else:
            from sdbackends.engines.inductor import InductorEngine as Engine
        engine = Engine(EngineContext(options=options, device=place.type))
        engines.append(engine)
        builder = Builder("it", name, engine, CaptureStore(None))
        model = RoutedModel(builder, strict=True)
        return lambda *args, **kwargs: model(module, args, kwargs)[0]

    yield make
    for engine in engines:
        engine.close()
