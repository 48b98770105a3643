"""One engine for each test; its weights are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine
from tests.quick_jax import quick_compilation


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_compilation():
        yield


@pytest.fixture
def engine() -> Iterator[JaxEngine]:
    engine = JaxEngine(EngineContext(device="cpu"))
    yield engine
    engine.close()
