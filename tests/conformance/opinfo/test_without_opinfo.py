"""Overloads that no OpInfo sample reaches, on drawn arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sdbackends.engines.jax.engine import JaxEngine
from tests.conformance import known_failures
from tests.conformance.opinfo import direct
from tests.conformance.opinfo.cases import CASES
from tests.conformance.opinfo.suite import run_traced, unexpected

KNOWN = known_failures.of_suite("opinfo", "jax")


@pytest.mark.parametrize("overload", CASES)
@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],  # making a failure smaller would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_overload(overload: str, jax_engine: JaxEngine, data: Any) -> None:
    """Several calls in one program: compiling is what takes the time."""
    drawn = data.draw(st.lists(CASES[overload], min_size=3, max_size=8))
    calls = [direct.call(overload, *one, number=i) for i, one in enumerate(drawn)]
    assert not unexpected(list(run_traced(jax_engine, calls)), KNOWN)
