"""What is removed from inductor's cache after an error, and when that comes to an end."""

from __future__ import annotations

import _ctypes
import os
import shutil

import pytest

from sdbackends.engines.inductor_damage import remove_damaged


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def libraries(folder):
    """A whole one, and what a loss of power leaves: empty, half, of the full length but zeros."""
    made = [folder / name / "it.main.so" for name in ("whole", "empty", "half", "zeros")]
    for library in made:
        library.parent.mkdir()
        shutil.copy(_ctypes.__file__, library)
    empty, half, zeros = made[1:]
    os.truncate(empty, 0)
    os.truncate(half, half.stat().st_size // 2)
    zeros.write_bytes(bytes(zeros.stat().st_size))
    return made


def test_all_that_were_cut_off_go_with_the_one_that_was_found(libraries):
    whole, empty, *_ = libraries
    removed = set()
    assert remove_damaged(ImportError("file too short", path=str(empty)), removed)
    assert [library.exists() for library in libraries] == [True, False, False, False]
    assert removed == set(libraries) - {whole}


def test_the_same_file_is_not_removed_twice(libraries):
    error, removed = ImportError("no symbol", path=str(libraries[0])), set()
    assert remove_damaged(error, removed)
    shutil.copy(_ctypes.__file__, libraries[0])
    assert not remove_damaged(error, removed)
    assert libraries[0].exists()


def _raised_by(path):
    """An error of the program at `path`, which no file of its own names."""
    path.write_text("raise RuntimeError('of no file')")
    try:
        exec(compile(path.read_text(), str(path), "exec"))
    except RuntimeError as error:
        return error


def test_an_error_that_comes_back_from_programs_of_other_names_is_raised(folder):
    removed = set()
    assert remove_damaged(_raised_by(folder / "a.py"), removed)
    assert not remove_damaged(_raised_by(folder / "b.py"), removed)
    assert (folder / "b.py").exists()


def test_the_library_that_an_error_is_about_comes_before_the_program_that_loads_it(libraries):
    empty = libraries[1]
    outer = _raised_by(empty.parent / "a.py")
    outer.inner_exception = ImportError("file too short", path=str(empty))
    assert remove_damaged(outer, set())
    assert not empty.exists() and (empty.parent / "a.py").exists()


def test_files_of_others_stay(libraries, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "x.so"
    other.touch()
    assert not remove_damaged(ImportError("file too short", path=str(other)), set())
    assert other.exists()
