"""Calls of models that no pipeline of a family makes give torch's results at float32."""

from __future__ import annotations

import pytest

from sdbackends.engines.jax.engine import JaxEngine
from tests.engines.families import FAMILIES
from tests.engines.programs import run, worst

CALLS = (
    "unet_sd15_odd_size",
    "unet_masked_text",
    "unet_class_labels",
    "clip_text_hidden_states",
)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_agrees_with_torch(name: str, engine: JaxEngine) -> None:
    call = FAMILIES[name]()
    expected = call.eager()
    _, result = run(engine, call)
    assert worst(result, expected) < 1e-5
