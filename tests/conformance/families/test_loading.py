"""However a pipeline was loaded, every engine draws torch's picture."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import loading
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(loading))
def test_loading(case, backend, support) -> None:
    support(case, backend)
