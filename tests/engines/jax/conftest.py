"""One engine for each test; its weights are restored afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator

# XLA's own optimisations stay; LLVM's, which take most of the compile time, are not under test.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine


@pytest.fixture
def engine() -> Iterator[JaxEngine]:
    engine = JaxEngine(EngineContext(device="cpu"))
    yield engine
    engine.close()
