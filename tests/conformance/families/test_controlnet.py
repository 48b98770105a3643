"""Pictures that lead the drawing do so as in torch, on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import controlnet
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(controlnet))
def test_controlnet(case, backend, support) -> None:
    support(case, backend)
