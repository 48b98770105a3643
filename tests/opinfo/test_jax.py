"""JAX's lowerings against torch on a few OpInfo samples of every overload in the table.

All samples of all OpInfos: `nox -s opinfo`.
"""

from __future__ import annotations

import pytest

from sdbackends.engines.jax.engine import JaxEngine
from sdbackends.engines.jax.ops import LOWERINGS
from tests import known_failures
from tests.opinfo import witnesses
from tests.opinfo.bounded import Bounded
from tests.opinfo.cases import CASES
from tests.opinfo.database import DTYPES

OVERLOADS = sorted(witnesses.read().values(), key=lambda one: (one.way, one.overload))


@pytest.fixture(scope="module")
def bounded(jax_engine: JaxEngine) -> Bounded:
    return Bounded(jax_engine, DTYPES)


@pytest.mark.parametrize("overload", [one.overload for one in OVERLOADS])
def test_overload(overload: str, bounded: Bounded) -> None:
    assert not bounded.complaints(overload, known_failures.of_suite("opinfo", "jax"))


def test_every_overload_of_the_table_is_tested() -> None:
    """By OpInfo's samples or by hypothesis."""
    tested = {*witnesses.read(), *CASES}
    assert set(LOWERINGS) - tested == set(), "run `python -m tests.opinfo.trace`, or add a case"
    assert tested - set(LOWERINGS) == set(), "no lowering any more"
