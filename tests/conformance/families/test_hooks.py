"""Models with diffusers' hooks on them draw torch's picture on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import hooks
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(hooks))
def test_hooks(case, backend, support) -> None:
    support(case, backend)
