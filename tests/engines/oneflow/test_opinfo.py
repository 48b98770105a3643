"""OneFlow's lowerings against torch: the samples and the drawn cases of `tests/conformance/opinfo`.

Op by op, which is how OneFlow runs on a CPU what an nn.Graph refuses; the cases of
`lowering_cases.py` run in both modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sdbackends.capture.opset import OPSET
from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.engines.oneflow.gaps import GAPS
from sdbackends.runtime.engine_pool import worker_environment
from tests.conformance import known_failures
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.bounded import Bounded
from tests.conformance.opinfo.cases import CASES
from tests.conformance.opinfo.suite import complaints_of_drawn

KNOWN = known_failures.of_suite("opinfo", "oneflow")
#: OpInfo has samples of integers alone, which OneFlow refuses; booleans are drawn.
DRAWN = {"aten.bitwise_xor.Tensor"}
WITNESSES = {op: names for op, names in witnesses.read().items() if op not in GAPS | DRAWN}


@pytest.fixture(scope="module")
def eager() -> Iterator[OneflowEngine]:
    engine = OneflowEngine(
        EngineContext(options={"mode": "eager"}, worker=worker_environment("oneflow"))
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bounded(eager: OneflowEngine) -> Bounded:
    """Its CPU has no bfloat16."""
    return Bounded(eager, ("float32", "int64"))


@pytest.mark.parametrize("overload", WITNESSES)
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
def test_drawn_arguments(overload: str, eager: OneflowEngine, data: Any) -> None:
    drawn = data.draw(st.lists(CASES[overload], min_size=3, max_size=8))
    assert not complaints_of_drawn(eager, overload, drawn, KNOWN)


def test_the_table_is_the_op_set_without_the_gaps(eager: OneflowEngine) -> None:
    table = set(eager._worker.describe()["ops"])
    assert table - (OPSET - GAPS) == set(), "a gap is none any more, or a name is missing"
    assert OPSET - GAPS - table == set(), "a lowering is missing, or a gap is not declared"
    assert GAPS <= OPSET


def test_every_overload_of_the_table_is_tested() -> None:
    assert {*WITNESSES, *CASES} - GAPS == OPSET - GAPS


def test_every_known_failure_names_a_sample() -> None:
    samples = [name for names in WITNESSES.values() for name in names]
    drawn = [f"{overload}/{dtype}" for overload in CASES for dtype in ("float32", "int64")]
    names = {name.rpartition("/")[0] for name in samples} | set(drawn)
    assert {"/".join(line.pattern.split("/")[:2]) for line in KNOWN} <= names
