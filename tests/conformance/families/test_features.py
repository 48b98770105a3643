"""What a script asks of a call comes out as in torch, on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import features
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(features))
def test_features(case, backend, support) -> None:
    support(case, backend)
