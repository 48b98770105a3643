"""Slices, tiles and offloading change nothing in the picture, on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import memory
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(memory))
def test_memory(case, backend, support) -> None:
    support(case, backend)
