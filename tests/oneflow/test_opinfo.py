"""OneFlow's lowerings against torch: the samples and the drawn cases of `tests/opinfo`.

Op by op, which is how OneFlow runs on a CPU what an nn.Graph refuses; the cases of
`lowering_cases.py` run in both modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.runtime.engine_pool import worker_environment
from tests import known_failures
from tests.opinfo import direct, witnesses
from tests.opinfo.bounded import Bounded
from tests.opinfo.cases import CASES
from tests.opinfo.suite import run_traced, unexpected

KNOWN = known_failures.of_suite("opinfo", "oneflow")
#: Only JAX's table holds these: complex numbers, which OneFlow has not, windows, and two
#: operations of video models.
JAX_ALONE = {
    "aten._fft_c2c.default",
    "aten._fft_c2r.default",
    "aten._fft_r2c.default",
    "aten.avg_pool3d.default",
    "aten.complex.default",
    "aten.polar.default",
    "aten.scatter_add.default",
    "aten.unfold.default",
    "aten.view_as_complex.default",
    "aten.view_as_real.default",
}
#: OpInfo has samples of integers alone, which OneFlow refuses; booleans are drawn.
DRAWN = {"aten.bitwise_xor.Tensor"}
OVERLOADS = sorted(
    (one for one in witnesses.read().values() if one.overload not in JAX_ALONE | DRAWN),
    key=lambda one: (one.way, one.overload),
)


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


@pytest.fixture(scope="module")
def table(eager: OneflowEngine) -> set[str]:
    return set(eager._worker.describe()["ops"])


@pytest.mark.parametrize("overload", [one.overload for one in OVERLOADS])
def test_overload(overload: str, bounded: Bounded) -> None:
    assert not bounded.complaints(overload, KNOWN)


@pytest.mark.parametrize("overload", [one for one in CASES if one not in JAX_ALONE])
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
    calls = [direct.call(overload, *one, number=i) for i, one in enumerate(drawn)]
    covered = [one for one in calls if not eager.unsupported(one.graph)]
    assume(covered)  # fails where OneFlow refuses everything that can be drawn
    assert not unexpected(list(run_traced(eager, covered)), KNOWN)


def test_every_overload_of_the_table_is_tested_and_none_is_missing(table: set[str]) -> None:
    assert {*witnesses.read(), *CASES} - table == JAX_ALONE
    assert table - {*witnesses.read(), *CASES} == set()


def test_every_known_failure_names_a_sample() -> None:
    samples = [name for one in OVERLOADS for name in one.samples]
    drawn = [f"{overload}/{dtype}" for overload in CASES for dtype in ("float32", "int64")]
    names = {name.rpartition("/")[0] for name in samples} | set(drawn)
    assert {"/".join(line.pattern.split("/")[:2]) for line in KNOWN} <= names
