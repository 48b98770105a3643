"""One engine for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdbackends.engines.base import EngineContext
from sdbackends.engines.openvino.engine import OpenvinoEngine


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenvinoEngine]:
    engine = OpenvinoEngine(EngineContext())
    yield engine
    engine.close()
