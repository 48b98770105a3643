"""A kept capture that is whole and of another graph: the engine refuses it, and it is replaced."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture.store import CaptureStore
from sdbackends.host.patches import Patches
from sdbackends.runtime import engine_pool, router
from sdbackends.settings import BackendChoice, Settings
from tests import tiny_models
from tests.capture.tracing import graph_of
from tests.replay import ReplayEngine


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A text encoder's call in a session of its own, over captures in `tmp_path`."""
    monkeypatch.setattr(engine_pool, "create", lambda name, context: ReplayEngine())
    settings = Settings(backend=BackendChoice.parse("jax"), cache_dir=tmp_path)

    def call(clip: torch.nn.Module) -> torch.Tensor:
        patches = Patches()
        router.install(settings, patches)
        try:
            with torch.no_grad():
                return clip(tiny_models.token_ids()).last_hidden_state
        finally:
            patches.undo()

    return call


def test_it_is_captured_anew_and_replaced(session, tmp_path, monkeypatch, capsys):
    clip = tiny_models.clip_text()
    with torch.no_grad():
        expected = clip(tiny_models.token_ids()).last_hidden_state
    save = CaptureStore.save
    keys = []

    def noted(store, key, capture):
        keys.append(key)
        save(store, key, capture)

    monkeypatch.setattr(CaptureStore, "save", noted)
    session(clip)
    monkeypatch.setattr(CaptureStore, "save", save)
    foreign = graph_of(torch.nn.Linear(2, 2), torch.ones(1, 2)).export()
    CaptureStore(tmp_path / "captures").save(keys[0], foreign)
    capsys.readouterr()
    torch.testing.assert_close(session(clip), expected)
    said = capsys.readouterr().err
    assert "capture new" in said and "eager torch" not in said
    session(clip)
    assert "capture from cache" in capsys.readouterr().err
