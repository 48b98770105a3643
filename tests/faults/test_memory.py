"""A model that the script lets go is collected, also while the session goes on."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sdbackends
from sdbackends.engines.inductor_layout import _copies
from tests.scripts.models import X, picture, small

BACKENDS = [
    "jax",
    pytest.param("compile", marks=pytest.mark.slow),  # `nox -s faults` alone, as the next
    pytest.param("oneflow", marks=pytest.mark.slow),
]


@pytest.fixture(params=BACKENDS)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with sdbackends.use(request.param, log="quiet", fallback="error") as session:
        yield session


def test_models_that_come_and_go_are_collected(session: Any) -> None:
    alive: list[weakref.ref[Any]] = []

    def one() -> None:
        model = small()
        first = picture(model)
        torch.testing.assert_close(picture(model), first)
        picture(model, X.repeat(2, 1, 1, 1))
        alive.extend(map(weakref.ref, [*model.modules(), *model.parameters()]))

    for _ in range(3):
        one()
    gc.collect()
    left = [type(held()).__name__ for held in alive if held() is not None]
    assert not left
    assert not list(_copies.values()), "copies of kernels for programs that nobody calls"
