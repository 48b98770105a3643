"""The backends that cases run on, and what came out, as properties of each test's report."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from tests.families.catalog import CASES, Case
from tests.families.judging import agree


def of(room: ModuleType) -> list[pytest.param]:
    """The cases that stand in a module of tests/families/cases."""
    return [pytest.param(one, id=one.id) for one in CASES.values() if one.room == room.__name__]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--support-backends")
        metafunc.parametrize("backend", [name for name in chosen.split(",") if name])


@pytest.fixture
def support(record_property: Callable[[str, object], None]) -> Callable[[Case, str], None]:
    """Judges a case on a backend; the report says which, and how far apart they were."""

    def judge(case: Case, backend: str) -> None:
        record_property("case", case.id)
        record_property("backend", backend)
        figures = agree(case, backend)
        record_property("worst model, of max", figures.worst)
        record_property("largest difference of 255", figures.picture)

    return judge
