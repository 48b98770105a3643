"""Every family of models gives torch's results through OpenVINO at float32."""

from __future__ import annotations

import pytest

from sdbackends.engines.openvino.engine import OpenvinoEngine
from tests.engines.families import FAMILIES
from tests.engines.programs import run, worst


@pytest.mark.parametrize("name", FAMILIES)
def test_family_agrees_with_torch(name: str, engine: OpenvinoEngine) -> None:
    call = FAMILIES[name]()
    expected = call.eager()
    program, result = run(engine, call)
    assert worst(result, expected) < 1e-5
    program.close()
