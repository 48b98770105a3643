"""Captures come back from disk as they were; what is damaged or foreign is made anew."""

from __future__ import annotations

import shutil

import pytest
import torch

from sdbackends.capture.store import CaptureStore
from tests import tiny_models
from tests.capture.tracing import graph_of


@pytest.fixture(scope="module")
def captured():
    return graph_of(tiny_models.clip_text(), tiny_models.token_ids()).export()


@pytest.fixture
def entry(tmp_path, captured):
    store = CaptureStore(tmp_path / "captures")
    store.save("key", captured)
    return store


def test_a_kept_capture_is_the_same(entry, captured):
    loaded = entry.load("key")
    assert loaded.graph == captured.graph
    assert loaded.mutated == captured.mutated
    assert {k: v.tolist() for k, v in loaded.constants.items()} == {
        k: v.tolist() for k, v in captured.constants.items()
    }
    assert [p.suffix for p in entry.folder.iterdir()] == [".safetensors"]


def other_entry(path, entry, captured):
    entry.save("other", captured)
    (foreign,) = (other for other in entry.folder.iterdir() if other != path)
    shutil.move(foreign, path)


def damaged(change):
    return lambda path, entry, captured: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "damage",
    [
        damaged(lambda b: b[: len(b) // 2]),
        damaged(lambda b: b""),
        damaged(lambda b: b.replace(b"aten.linear", b"aten.lineal", 1)),
        damaged(lambda b: b"\x00" * len(b)),
        damaged(lambda b: b[:-1] + bytes([b[-1] ^ 1])),
        other_entry,
    ],
    ids=["truncated", "empty", "altered", "zeros", "a bit of a constant", "of another key"],
)
def test_a_damaged_entry_is_not_trusted_and_is_replaced(tmp_path, captured, damage):
    constants = {"c": torch.arange(4.0)}
    captured = type(captured)(captured.graph, constants, captured.mutated)
    store = CaptureStore(tmp_path / "captures")
    store.save("key", captured)
    (path,) = store.folder.iterdir()
    damage(path, store, captured)
    assert store.load("key") is None


def test_a_damaged_entry_is_written_anew(entry, captured):
    (path,) = entry.folder.iterdir()
    path.write_bytes(b"")
    entry.save("key", captured)
    assert entry.load("key") is not None


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, captured, capsys):
    (tmp_path / "file").write_text("")
    store = CaptureStore(tmp_path / "file" / "captures")
    assert store.load("key") is None
    store.save("key", captured)
    assert "SD_CACHE_DIR" in capsys.readouterr().err
