"""Every family draws torch's picture on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import plain
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(plain))
def test_plain(case, backend, support) -> None:
    support(case, backend)
