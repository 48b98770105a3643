"""Sessions in this process, closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sdbackends import log, session  # noqa: E402
from sdbackends.settings import BackendChoice, Settings  # noqa: E402

Enable = Callable[..., session.Session]


@pytest.fixture
def enable() -> Iterator[Enable]:
    """`enable(rng="cuda", …)`: a session of the torch backend with these settings."""

    def begin(**settings: Any) -> session.Session:
        return session.enable(Settings(backend=BackendChoice("torch"), **settings))

    log.forget()
    yield begin
    session.close_all()


@pytest.fixture
def no_cuda(enable: Enable) -> session.Session:
    """A session with the CUDA stand-in."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    return enable()
