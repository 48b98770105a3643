"""A router whose engine is the replay engine, laid over diffusers and transformers for one test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdbackends import log
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.runtime.build import Strategy
from sdbackends.runtime.events import Listener
from sdbackends.settings import BackendChoice, Settings
from tests.replay import Behaviour, ReplayEngine


@dataclass
class Replayed:
    """What a test drives: the engine's behaviour, and `install` with settings of its own."""

    behaviour: Behaviour
    patches: Patches
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
        router.install(settings, self.patches, listeners, strategy)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """Captures of one test serve the next: an export is what costs time here."""
    return tmp_path_factory.mktemp("captures")


@pytest.fixture
def replayed(monkeypatch, shared_cache):
    behaviour = Behaviour()
    monkeypatch.setattr(engine_pool, "create", lambda name, context: ReplayEngine(behaviour))
    log.forget()
    patches = Patches()
    yield Replayed(behaviour, patches, shared_cache)
    patches.undo()
