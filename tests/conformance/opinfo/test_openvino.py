"""OpenVINO's rules and our rewrites against torch, on a few OpInfo samples of every overload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sdbackends.capture.opset import OPSET
from sdbackends.engines.base import EngineContext
from sdbackends.engines.openvino.engine import OpenvinoEngine
from sdbackends.engines.openvino.gaps import GAPS
from sdbackends.engines.openvino.limits import CONDITIONS
from sdbackends.engines.openvino.rewrites import REWRITES
from tests.conformance import known_failures
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.bounded import Bounded
from tests.conformance.opinfo.cases import CASES
from tests.conformance.opinfo.database import DTYPES
from tests.conformance.opinfo.suite import complaints_of_drawn

KNOWN = known_failures.of_suite("opinfo", "openvino")


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenvinoEngine]:
    engine = OpenvinoEngine(EngineContext())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bounded(engine: OpenvinoEngine) -> Bounded:
    return Bounded(engine, DTYPES)


@pytest.mark.parametrize("overload", [one for one in witnesses.read() if one not in GAPS])
def test_overload(overload: str, bounded: Bounded) -> None:
    assert not bounded.complaints(overload, KNOWN)


@pytest.mark.parametrize("overload", [one for one in CASES if one not in GAPS])
@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_drawn_arguments(overload: str, engine: OpenvinoEngine, data: Any) -> None:
    drawn = data.draw(st.lists(CASES[overload], min_size=3, max_size=8))
    assert not complaints_of_drawn(engine, overload, drawn, KNOWN)


def test_gaps_rewrites_and_conditions_are_of_the_op_set() -> None:
    assert GAPS <= OPSET
    assert REWRITES.keys() | CONDITIONS.keys() <= OPSET - GAPS
