"""The backends that cases run on, and what came out, as properties of each test's report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from types import ModuleType

import pytest

from tests.conformance.families.catalog import CASES, Case
from tests.conformance.families.judging import agree
from tests.conformance.families.support_data import BACKENDS, PICTURE, WORST
from tests.quick_jax import quick_compilation


def of(room: ModuleType) -> list[pytest.param]:
    """The cases that stand in a module of tests/conformance/families/cases."""
    return [pytest.param(one, id=one.id) for one in CASES.values() if one.room == room.__name__]


def chosen(config: pytest.Config) -> list[tuple[str, str]]:
    """`jax,compile=sd15-*` as names and patterns of cases."""
    words = filter(None, config.getoption("--support-backends").split(","))
    return [(name, cases or "*") for name, _, cases in (word.partition("=") for word in words)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        # All of docs/support.md, so that known_failures may name those that do not run now.
        names = dict.fromkeys([*BACKENDS, *(name for name, _ in chosen(metafunc.config))])
        marked = [pytest.param(name, marks=pytest.mark.support) for name in names]
        metafunc.parametrize("backend", marked)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only what `--support-backends` names is run."""
    wanted = chosen(config)

    def is_wanted(item: pytest.Item) -> bool:
        if item.get_closest_marker("support") is None:
            return True
        values = item.callspec.params
        return any(
            values["backend"] == name and fnmatchcase(values["case"].id, pattern)
            for name, pattern in wanted
        )

    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = [item for item in items if is_wanted(item)]


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_compilation():
        yield


@pytest.fixture
def support(record_property: Callable[[str, object], None]) -> Callable[[Case, str], None]:
    """Judges a case on a backend; the report says how far apart they were."""

    def judge(case: Case, backend: str) -> None:
        figures = agree(case, backend)
        record_property(WORST, figures.worst)
        record_property(PICTURE, figures.picture)

    return judge
