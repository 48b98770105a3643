"""JAX's lowerings against torch on a few OpInfo samples of every overload of the op set.

All samples of all OpInfos: `nox -s opinfo`.
"""

from __future__ import annotations

import pytest

from sdbackends.capture.opset import OPSET
from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.engines.jax.ops import LOWERINGS
from tests.conformance import known_failures
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.bounded import Bounded
from tests.conformance.opinfo.cases import CASES
from tests.conformance.opinfo.database import DTYPES


@pytest.fixture(scope="module")
def bounded(jax_engine: JaxEngine) -> Bounded:
    return Bounded(jax_engine, DTYPES)


@pytest.mark.parametrize("overload", witnesses.read())
def test_overload(overload: str, bounded: Bounded) -> None:
    assert not bounded.complaints(overload, known_failures.of_suite("opinfo", "jax"))


def test_the_table_is_the_op_set() -> None:
    """JAX has no gaps."""
    assert set(LOWERINGS) - OPSET == set(), "a name is missing in capture/opset.py"
    assert OPSET - set(LOWERINGS) == set(), "a lowering is missing"


def test_every_overload_of_the_op_set_is_tested() -> None:
    """By OpInfo's samples or by hypothesis."""
    tested = {*witnesses.read(), *CASES}
    assert OPSET - tested == set(), "run `python -m tests.conformance.opinfo.trace`, or add a case"
    assert tested - OPSET == set(), "no op of a capture any more"
