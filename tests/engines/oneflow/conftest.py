"""The real OneFlow, in its environment; these tests run under `nox -s tests-oneflow`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdbackends.catalog import environments
from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.runtime.engine_pool import worker_environment


@pytest.fixture(scope="session", autouse=True)
def oneflow_python() -> Path:
    """The interpreter of the environment; without it every test here fails, none is skipped."""
    lacks = environments.lacks("oneflow")
    python = environments.interpreter("oneflow")
    if lacks or python is None:
        words = "; ".join(f"{lack.why} (fix: {lack.fix})" for lack in lacks)
        pytest.fail(f"the environment of OneFlow is not ready: {words or 'no interpreter'}")
    return python


@pytest.fixture(params=["graph", "eager"])
def engine(request: pytest.FixtureRequest) -> Iterator[OneflowEngine]:
    """An engine of each mode, with a worker of its own; its weights are restored afterwards."""
    engine = OneflowEngine(
        EngineContext(options={"mode": request.param}, worker=worker_environment("oneflow"))
    )
    yield engine
    engine.close()
