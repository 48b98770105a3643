"""Files of results: what is refused, in which words, and that nothing is ever lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sdbackends.errors import ResultsError
from sdbackends.matrix import store
from sdbackends.matrix.results import Agreement, PictureDifference
from tests.matrix import made_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "zen5-4c" / "monday.json"
    store.write(made_up.run(made_up.result()), path)
    return path


def refused(path: Path) -> str:
    """What is said of the file; it is left as it was."""
    before = path.read_bytes()
    with pytest.raises(ResultsError) as caught:
        store.read(path)
    with pytest.raises(ResultsError):
        store.write(made_up.run(), path)
    assert path.read_bytes() == before
    assert caught.value.exit_code == 2 and str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    figures = Agreement(
        parts={"unet": PictureDifference(max_relative=1e-6, relative_l2=1e-7)}, psnr=70.5
    )
    run = made_up.run(made_up.result(agreement=figures, reason="蓝色", load=(0.5, 1.5)))
    store.write(run, tmp_path / "a.json")
    assert store.read(tmp_path / "a.json") == run
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["schema"] == 1


def test_cut_off_anywhere(path: Path) -> None:
    whole = path.read_text("utf-8")
    inside = whole.index("}") + 1
    for end in (2, len(whole) // 2, inside, len(whole) - 3):
        path.write_text(whole[:end], "utf-8")
        assert "monday.json is cut off" in refused(path)


@pytest.mark.parametrize("text", ["", "# notes", "[1, 2", b"\x89PNG\r\n\x1a\n\xff\xfe"])
def test_no_json(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refused(path)
    assert "is not JSON" in message or "is no results file" in message


@pytest.mark.parametrize("text", ["[]", "3", '{"name": "x", "version": 1}', '{"schema": 1}'])
def test_json_of_somebody_else(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    assert "is no results file of the matrix" in refused(path)


@pytest.mark.parametrize(("schema", "words"), [(0, "an older schema"), (2, "a newer schema")])
def test_another_schema(path: Path, schema: int, words: str) -> None:
    path.write_text(path.read_text("utf-8").replace('"schema": 1', f'"schema": {schema}'), "utf-8")
    assert words in refused(path)


def test_a_broken_field_is_named(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace('"ok"', '"fine"'), "utf-8")
    assert "cells.0.outcome" in refused(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be read"):
        store.read(tmp_path / "no.json")


def test_the_same_run_grows_in_its_file(path: Path) -> None:
    longer = made_up.run(made_up.result(), made_up.result(cell=made_up.cell(backend="torch")))
    store.write(longer, path)
    assert store.read(path) == longer


def test_another_run_is_not_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="holds another run"):
        store.write(made_up.run(started="2026-11-21T00:00:00Z"), path)
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        store.write(made_up.run(), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["monday.json"]
