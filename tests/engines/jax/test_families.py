"""Every family of models gives torch's results through the JAX engine, at float32."""

from __future__ import annotations

import pytest
from families import FAMILIES
from helpers import run, worst

from sdbackends.engines.jax.engine import JaxEngine


@pytest.mark.parametrize("name", FAMILIES)
def test_family_agrees_with_torch(name: str, engine: JaxEngine) -> None:
    call = FAMILIES[name]()
    expected = call.eager()
    _, result = run(engine, call)
    assert worst(result, expected) < 1e-5
