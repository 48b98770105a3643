"""Captures that cannot be written or read: the run goes on, and the place is taken again."""

from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from sdbackends.capture import store
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import Graph
from sdbackends.capture.store import CaptureStore
from sdbackends.utils import cache_file
from tests.capture.tracing import graph_of


@pytest.fixture
def capture() -> Capture:
    return Capture(Graph((), (), (), (), ()), {}, ())


@pytest.fixture
def kept(tmp_path: Path) -> CaptureStore:
    return CaptureStore(tmp_path / "captures")


def parts(kept: CaptureStore) -> list[Path]:
    return list(kept.folder.glob("*.part"))


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "error", [FULL, SafetensorError("No space left on device")], ids=["torch", "safetensors"]
)
def test_a_full_disk_costs_a_warning_and_leaves_no_part(kept, capture, monkeypatch, capsys, error):
    def save(tensors, name, metadata):
        Path(name).write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(store, "save_file", save)
    kept.save("key", capture)
    kept.save("key", capture)
    said = capsys.readouterr().err
    assert said.count("No space left on device") == 1 and "SD_CACHE_DIR" in said
    assert not list(kept.folder.iterdir())
    monkeypatch.undo()
    kept.save("key", capture)
    assert kept.load("key") is not None


def test_a_limit_of_the_file_size_costs_a_warning(kept, capture, capsys):
    """`ulimit -f`, and the errors that safetensors itself makes of it."""
    large = Capture(capture.graph, {"c": torch.zeros(1 << 16)}, ())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, before[1]))
    try:
        kept.save("key", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "SD_CACHE_DIR" in capsys.readouterr().err
    assert not list(kept.folder.iterdir())


def test_what_is_interrupted_leaves_no_part(kept, capture, monkeypatch):
    def save(tensors, name, metadata):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "save_file", save)
    with pytest.raises(KeyboardInterrupt):
        kept.save("key", capture)
    assert not parts(kept)


def test_what_a_killed_process_left_is_swept_once_it_is_old(kept, capture):
    kept.folder.mkdir()
    old, new = kept.folder / "old.part", kept.folder / "new.part"
    for part in (old, new):
        part.write_bytes(b"half of it")
    os.utime(old, (0, 0))
    kept.save("key", capture)
    assert parts(kept) == [new], "another process may be writing the new one"


def as_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def as_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    "make",
    [as_folder, os.mkfifo, as_loop, lambda path: path.symlink_to("/dev/zero")],
    ids=["folder", "pipe", "loop", "device"],
)
def test_what_is_no_file_is_replaced(kept, capture, capsys, make):
    kept.save("key", capture)
    (path,) = kept.folder.iterdir()
    path.unlink()
    make(path)
    assert kept.load("key") is None
    kept.save("key", capture)
    assert kept.load("key") is not None
    assert stat.S_ISREG(path.lstat().st_mode)


def test_damage_is_said_once(kept, capture, capsys):
    for key in ("a", "b", "c"):
        kept.save(key, capture)
    for path in kept.folder.iterdir():
        path.write_bytes(b"[" * 100_000)
    assert [kept.load(key) for key in ("a", "b", "c")] == [None] * 3
    assert capsys.readouterr().err.count("a kept capture cannot be used") == 1


def test_a_header_without_an_end_is_no_reason_to_stop(kept, capture, monkeypatch):
    """What Python raises that is no ValueError, at the place where the graph is read."""
    kept.save("key", capture)

    def read(text: str) -> Graph:
        raise RecursionError

    monkeypatch.setattr(store.Graph, "from_json", staticmethod(read))
    assert kept.load("key") is None


def test_a_read_only_folder_with_a_damaged_entry(kept, capture, monkeypatch, capsys):
    kept.save("key", capture)
    (path,) = kept.folder.iterdir()
    path.write_bytes(b"")

    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache_file.tempfile, "mkstemp", refuse)
    assert kept.load("key") is None
    kept.save("key", capture)
    assert "Read-only file system" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user for a while")
def test_a_folder_that_may_not_be_entered_costs_a_warning(kept, capture, capsys):
    kept.folder.mkdir(mode=0o700)
    os.seteuid(54321)
    try:
        assert kept.load("key") is None
        kept.save("key", capture)
    finally:
        os.seteuid(0)
    said = capsys.readouterr().err
    assert said.count("Permission denied") == 1 and "SD_CACHE_DIR" in said


def test_entries_that_were_swapped_are_those_of_other_keys(kept, tmp_path):
    """Two computations over equal shapes: only the key tells that an entry is another's."""
    captures = {}
    for name, function in (("silu", torch.nn.SiLU()), ("relu", torch.nn.ReLU())):
        captures[name] = graph_of(function, torch.ones(1, 2)).export()
        kept.save(name, captures[name])
    paths = [store._path(kept.folder, name) for name in captures]
    third = tmp_path / "third"
    os.replace(paths[0], third)
    os.replace(paths[1], paths[0])
    os.replace(third, paths[1])
    for name, capture in captures.items():
        assert kept.load(name) is None
        kept.save(name, capture)
        assert kept.load(name).graph == capture.graph
