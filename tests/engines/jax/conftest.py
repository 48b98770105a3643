"""One engine for each test; its weights are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine


@pytest.fixture(autouse=True)
def quick_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA's own optimisations stay; LLVM's, which take most of the time, are not under test.

    Pictures and models are compared at full optimisation in tests/agreement.
    """
    compile = jax.stages.Lowered.compile

    def quick(lowered: Any) -> Any:
        return compile(lowered, compiler_options={"xla_backend_optimization_level": 0})

    monkeypatch.setattr(jax.stages.Lowered, "compile", quick)


@pytest.fixture
def engine() -> Iterator[JaxEngine]:
    engine = JaxEngine(EngineContext(device="cpu"))
    yield engine
    engine.close()
