"""Every family of models gives torch's results through OneFlow, replayed and as an nn.Graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.runtime.engine_pool import worker_environment
from tests.engines.families import FAMILIES
from tests.engines.oneflow.helpers import build, worst


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, OneflowEngine]]:
    """One worker for each mode, for all families."""
    engines = {
        how: OneflowEngine(
            EngineContext(options={"mode": mode}, worker=worker_environment("oneflow"))
        )
        for how, mode in (("nn.Graph", "graph"), ("eager replay", "eager"))
    }
    yield engines
    for engine in engines.values():
        engine.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_family_agrees_with_torch(name: str, engines: dict[str, OneflowEngine]) -> None:
    call = FAMILIES[name]()
    expected = call.eager()
    for how, engine in engines.items():
        built = build(engine, call)
        assert built.program.how == how
        assert worst(built.run(call), expected) < 1e-5
        built.program.close()
