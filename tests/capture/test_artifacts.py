"""Captures come back from disk as they were; what is damaged or foreign is made anew."""

from __future__ import annotations

import pytest
import torch

from sdbackends.artifacts import CaptureStore
from sdbackends.capture.export import capture
from sdbackends.capture.signature import call_signature, module_state
from tests import tiny_models


@pytest.fixture(scope="module")
def clip():
    return tiny_models.clip_text()


@pytest.fixture(scope="module")
def captured(clip):
    return capture(clip, (tiny_models.token_ids(),))


@pytest.fixture
def entry(tmp_path, clip, captured):
    store = CaptureStore(tmp_path / "captures")
    key = store.key(call_signature((tiny_models.token_ids(),), {}), module_state(clip))
    store.save(key, captured)
    return store, key


def test_a_kept_capture_is_the_same(entry, captured):
    store, key = entry
    loaded = store.load(key)
    assert loaded.graph == captured.graph
    assert loaded.out_spec == captured.out_spec
    assert {k: v.tolist() for k, v in loaded.constants.items()} == {
        k: v.tolist() for k, v in captured.constants.items()
    }
    assert [p.suffix for p in store.folder.iterdir()] == [".safetensors"]


def test_the_key_knows_shape_model_and_state(entry, clip):
    store, key = entry
    state = module_state(clip)
    assert store.key(call_signature((tiny_models.token_ids(tokens=5),), {}), state) != key
    other = module_state(tiny_models.bert())
    assert store.key(call_signature((tiny_models.token_ids(),), {}), other) != key


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b.replace(b"aten.linear", b"aten.lineal", 1),
        lambda b: b"\x00" * len(b),
    ],
    ids=["truncated", "empty", "altered", "zeros"],
)
def test_a_damaged_entry_is_deleted_and_not_trusted(entry, damage):
    store, key = entry
    (path,) = store.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert store.load(key) is None
    assert not path.exists()


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, captured, capsys):
    (tmp_path / "file").write_text("")
    CaptureStore(tmp_path / "file" / "captures").save("key", captured)
    assert "SD_CACHE_DIR" in capsys.readouterr().err


def test_a_model_of_this_process_alone_has_no_key(tmp_path):
    module = type("Mine", (torch.nn.Linear,), {"__module__": "mine"})(2, 2)
    assert CaptureStore(tmp_path).key(call_signature((), {}), module_state(module)) is None
