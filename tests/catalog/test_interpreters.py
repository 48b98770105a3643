"""Which Pythons a machine has: a name on PATH proves nothing, the answer does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdbackends.catalog import interpreters


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "echo 'pyenv: python3.10: command not found' >&2; exit 127",
        "echo hello",
        'echo \'{"implementation": "pypy", "executable": "/p", "version": [3, 10, 1],'
        ' "makes_environments": true}\'',
    ],
)
def test_what_only_looks_like_a_cpython_is_none(tmp_path: Path, text: str) -> None:
    assert interpreters.ask(script(tmp_path / "python3.10", text)) is None


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert interpreters.ask(tmp_path) is None
    assert interpreters.ask(tmp_path / "python3.10") is None


def test_a_shim_answers_with_the_python_behind_it(tmp_path: Path) -> None:
    found = interpreters.ask(script(tmp_path / "python3", f'exec "{sys.executable}" "$@"'))
    assert found is not None
    assert found.path == Path(sys.executable) and found.version == sys.version_info[:3]


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("PATH", "python3.10"),
        ("PYENV_ROOT", "versions/3.10.13/bin/python"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.10.20-linux-x86_64-gnu/bin/python3"),
        ("CONDA_EXE", "envs/old/bin/python"),
        ("HOME", ".pyenv/versions/3.10.13/bin/python"),
        ("HOME", ".local/share/uv/python/cpython-3.10/bin/python3"),
        ("HOME", "miniforge3/envs/old/bin/python"),
    ],
)
def test_it_is_found_where_others_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "CONDA_EXE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv(variable, str(tmp_path / ("bin/conda" if variable == "CONDA_EXE" else "")))
    answer = (
        '{"implementation": "cpython", "executable": "/found/me", "version": [3, 10, 13],'
        ' "makes_environments": true}'
    )
    script(tmp_path / place, f"echo '{answer}'")
    assert "/found/me" in [str(found.path) for found in interpreters.find()]


def test_each_is_found_once_and_the_running_one_first() -> None:
    found = list(interpreters.find())
    assert found[0].version == sys.version_info[:3]
    assert len({found.path.resolve() for found in found}) == len(found)
