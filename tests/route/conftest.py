"""A router whose engine is the replay engine, laid over diffusers and transformers for one test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdbackends import route, say
from sdbackends.build import Strategy
from sdbackends.events import Listener
from sdbackends.host.overlay import Overlay
from sdbackends.settings import BackendChoice, Settings
from tests.replay import Behaviour, ReplayEngine


@dataclass
class Replayed:
    """What a test drives: the engine's behaviour, and `install` with settings of its own."""

    behaviour: Behaviour
    overlay: Overlay
    folder: Path

    def install(
        self,
        backend: str = "jax",
        listeners: Sequence[Listener] = (),
        strategy: Strategy | None = None,
        **changes,
    ) -> None:
        settings = Settings(
            **{"backend": BackendChoice.parse(backend), "cache_dir": self.folder, **changes}
        )
        route.install(settings, self.overlay, listeners, strategy)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """Captures of one test serve the next: an export is what costs time here."""
    return tmp_path_factory.mktemp("captures")


@pytest.fixture
def replayed(monkeypatch, shared_cache):
    behaviour = Behaviour()
    monkeypatch.setattr(route, "create", lambda name, context: ReplayEngine(behaviour))
    say.forget()
    overlay = Overlay()
    yield Replayed(behaviour, overlay, shared_cache)
    overlay.undo()
