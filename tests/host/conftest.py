"""Sessions in this process, closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sdbackends import say  # noqa: E402
from sdbackends.host import activate  # noqa: E402
from sdbackends.settings import BackendChoice, Settings  # noqa: E402

Enable = Callable[..., activate.Session]


@pytest.fixture
def enable() -> Iterator[Enable]:
    """`enable(rng="cuda", …)`: a session of the torch backend with these settings."""

    def begin(**settings: Any) -> activate.Session:
        return activate.enable(Settings(backend=BackendChoice("torch"), **settings))

    say.forget()
    yield begin
    activate.close_all()


@pytest.fixture
def no_cuda(enable: Enable) -> activate.Session:
    """A session with the CUDA stand-in."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    return enable()
