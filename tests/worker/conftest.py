"""A worker with the fake engine, and the file by which a test makes trouble in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdbackends.worker.client import Worker
from tests.worker.helpers import spec

Trouble = Callable[[str], None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    # Shared memory without a name and signals from pipes are Linux's, as OneFlow is.
    return True if sys.platform != "linux" else None


@pytest.fixture
def trouble_file(tmp_path: Path) -> Path:
    return tmp_path / "trouble"


@pytest.fixture
def trouble(trouble_file: Path) -> Trouble:
    """`trouble("run abort")`: the next run in the worker aborts; "run abort always": each."""

    def make(what: str) -> None:
        trouble_file.write_text(what)

    return make


@pytest.fixture
def worker(trouble_file: Path) -> Iterator[Worker]:
    made = Worker(spec(trouble_file))
    yield made
    made.close()


@pytest.fixture
def hasty_worker(trouble_file: Path) -> Iterator[Worker]:
    """One that is given up after two seconds without an answer."""
    made = Worker(spec(trouble_file, build_timeout=2, call_timeout=2))
    yield made
    made.close()
