"""One JAX engine for all samples, whose programs are compiled quickly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine


@pytest.fixture(scope="module")
def jax_engine() -> Iterator[JaxEngine]:
    """XLA's own optimisations stay; LLVM's, which take most of the time, are not under test.

    Not for the whole session: the tests of other folders compile in their own ways.
    """
    compile = jax.stages.Lowered.compile

    def quick(lowered: Any) -> Any:
        return compile(lowered, compiler_options={"xla_backend_optimization_level": 0})

    engine = JaxEngine(EngineContext(device="cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", quick)
        yield engine
    engine.close()
