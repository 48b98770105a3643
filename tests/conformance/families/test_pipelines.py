"""Image to image, inpainting and upscaling draw torch's pictures on every engine."""

from __future__ import annotations

import pytest

from tests.conformance.families.cases import pipelines
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(pipelines))
def test_pipelines(case, backend, support) -> None:
    support(case, backend)
