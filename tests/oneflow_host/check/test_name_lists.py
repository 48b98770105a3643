"""Lists of OneFlow's names: what they answer, and how they are kept."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdbackends import log
from sdbackends.errors import BackendNotReadyError
from sdbackends.oneflow_host import kept_name_lists, name_list_query
from sdbackends.oneflow_host.kept_name_lists import KeptNameLists, MadeFrom
from sdbackends.oneflow_host.placeholders import PLACEHOLDERS
from tests.oneflow_host.check.conftest import SMALL

HERE = MadeFrom(Path(sys.executable), "0.9.0")


@pytest.fixture
def kept(tmp_path: Path) -> KeptNameLists:
    log.forget()
    return KeptNameLists(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The Pythons that are asked, by a stand-in for the process."""
    found: list[Path] = []
    monkeypatch.setattr(name_list_query, "find_oneflow", lambda: HERE)
    monkeypatch.setattr(name_list_query, "ask", lambda python: found.append(python) or SMALL)
    return found


@pytest.mark.parametrize("name", ["torch", "torch.nn", "torch.nn.Linear", "torch.Tensor.to"])
def test_what_is_there(name: str) -> None:
    assert SMALL.lacking(name) is None


@pytest.mark.parametrize("name", ["torch.gone", "torch.nn.Linear.gone", "torch.Tensor.gone"])
def test_what_is_not_has_its_reason(name: str) -> None:
    assert SMALL.lacking(name) == f"OneFlow has no {name[6:]}, and nothing stands in for it"


def test_the_reason_is_that_of_what_is_lacking_first() -> None:
    assert SMALL.lacking("torch.gone.deep") == SMALL.lacking("torch.gone")
    assert SMALL.lacking("other") == "other is no name of torch"


def test_what_belongs_to_a_value_counts_as_there() -> None:
    assert SMALL.lacking("torch.Tensor.to.anything") is None


def test_a_placeholder_says_so() -> None:
    words = SMALL.lacking("torch.fft.fftn") or ""
    assert "torch.fft.fftn" in PLACEHOLDERS and words.startswith("a placeholder")


def test_a_second_check_asks_nobody(tmp_path: Path, asked: list[Path]) -> None:
    assert name_list_query.name_list(tmp_path) == SMALL
    assert name_list_query.name_list(tmp_path) == SMALL
    assert asked == [HERE.python]


def test_without_a_folder_each_asks(asked: list[Path]) -> None:
    said: list[Path] = []
    name_list_query.name_list(None, said.append)
    name_list_query.name_list(None, said.append)
    assert asked == said == [HERE.python] * 2


def test_another_oneflow_is_asked_anew(
    tmp_path: Path, asked: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name_list_query.name_list(tmp_path)
    newer = dataclasses.replace(HERE, oneflow="1.0.0")
    monkeypatch.setattr(name_list_query, "find_oneflow", lambda: newer)
    name_list_query.name_list(tmp_path)
    assert asked == [HERE.python] * 2
    assert len(list(tmp_path.iterdir())) == 1


def test_so_is_oneflow_once_the_host_adds_other_names(
    kept: KeptNameLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save(HERE, SMALL)
    monkeypatch.setattr(kept_name_lists, "_host", lambda: "changed")
    assert kept.load(MadeFrom(HERE.python, HERE.oneflow)) is None


def test_each_python_has_its_own_list(kept: KeptNameLists, tmp_path: Path) -> None:
    other = MadeFrom(tmp_path / "python", "0.9.0")
    other.python.touch()
    kept.save(HERE, SMALL)
    kept.save(other, dataclasses.replace(SMALL, python="3.9.1"))
    assert kept.load(HERE) == SMALL
    assert kept.load(other) != SMALL


DAMAGE = {
    "empty": "",
    "cut off": '{"checksum": "',
    "no object": "[]",
    "another text": '{"checksum": "x", "made_from": {}, "names": {}}',
    "not text": "\udcff",
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_list_is_said_and_replaced(
    tmp_path: Path, asked: list[Path], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    log.forget()
    name_list_query.name_list(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(DAMAGE[case].encode("utf-8", "surrogateescape"))
    assert name_list_query.name_list(tmp_path) == SMALL
    assert "cannot be used" in capsys.readouterr().err
    assert name_list_query.name_list(tmp_path) == SMALL
    assert len(asked) == 2


def test_a_changed_name_is_damage(
    kept: KeptNameLists, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.save(HERE, SMALL)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("Linear", "Lineal"))
    assert kept.load(HERE) is None
    assert "checksum" in capsys.readouterr().err


def test_a_pipe_or_a_folder_in_its_place_is_passed_by(
    kept: KeptNameLists, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / HERE.file)
    assert kept.load(HERE) is None
    kept.save(HERE, SMALL)
    assert kept.load(HERE) == SMALL
    (tmp_path / HERE.file).unlink()
    (tmp_path / HERE.file).mkdir()
    assert kept.load(HERE) is None
    kept.save(HERE, SMALL)
    assert kept.load(HERE) == SMALL


def test_a_folder_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.forget()
    nowhere = KeptNameLists(tmp_path / "nowhere")
    nowhere.save(HERE, SMALL)
    assert nowhere.load(HERE) is None
    assert "SD_CACHE_DIR" in capsys.readouterr().err


def test_lists_of_pythons_that_are_gone_go_too(kept: KeptNameLists, tmp_path: Path) -> None:
    gone = MadeFrom(tmp_path / "python", "0.9.0")
    gone.python.touch()
    kept.save(gone, SMALL)
    gone.python.unlink()
    old, new = tmp_path / "old.part", tmp_path / "new.part"
    for part in (old, new):
        part.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    (tmp_path / "other.txt").touch()
    kept.save(HERE, SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {HERE.file, "new.part", "other.txt"}


def test_without_oneflow_the_fix_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_ENV_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(name_list_query, "importable", lambda module: False)
    with pytest.raises(BackendNotReadyError, match="sdbackends env create oneflow"):
        name_list_query.find_oneflow()


def test_a_python_that_gives_no_answer_is_named() -> None:
    # This one has no oneflow.
    with pytest.raises(BackendNotReadyError) as error:
        name_list_query.ask(Path(sys.executable))
    assert sys.executable in str(error.value) and "oneflow" in error.value.why


def test_a_python_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(*words: object, **how: object) -> object:
        started.append(popen(*words, **how))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(name_list_query, "_TIMEOUT", 0.0)
    with pytest.raises(BackendNotReadyError, match="no answer"):
        name_list_query.ask(Path(sys.executable))
    assert [process.returncode is not None for process in started] == [True]
