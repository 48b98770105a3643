"""LoRA, IP-Adapter and textual inversion change pictures as in torch, on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import adapters
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(adapters))
def test_adapters(case, backend, support) -> None:
    support(case, backend)
