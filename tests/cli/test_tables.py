"""`backends`, `doctor`, `cache`, `--help`, `--version`: what a person and a program read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sdbackends import __version__
from sdbackends.catalog import backend_files, doctor
from sdbackends.catalog.backend_files import Readiness
from sdbackends.catalog.requirements import MissingRequirement
from sdbackends.cli.app import app
from sdbackends.errors import UnknownBackendError


def call(*words: str, **more: str) -> Result:
    return CliRunner().invoke(app, list(words), **more)


@pytest.fixture
def no_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which everything is ready but jax."""

    def readiness(backend: backend_files.Backend) -> Readiness:
        gone = backend.name == "jax"
        lacks = (
            (MissingRequirement("jax is not installed", "pip install jax[cpu]"),) if gone else ()
        )
        return Readiness(not gone, None if gone else "2.13.0", lacks)

    monkeypatch.setattr(backend_files, "readiness", readiness)
    monkeypatch.setattr(
        doctor, "troubles", lambda: (MissingRequirement("the disk is full", "empty it"),)
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path))
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "one.safetensors").write_bytes(b"x" * 1500)
    (tmp_path / "inductor" / "deep").mkdir(parents=True)
    (tmp_path / "inductor" / "deep" / "two").write_bytes(b"y" * 10)
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    return tmp_path


@pytest.mark.usefixtures("no_jax")
def test_backends_says_what_is_ready_and_why_not() -> None:
    done = call("backends")
    assert done.exit_code == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("jax"))
    assert "no: jax is not" in line and "tpu" in line
    assert "auto on this machine" in done.stdout and "doctor" in done.stdout


@pytest.mark.usefixtures("no_jax")
def test_backends_for_programs() -> None:
    records = {record["name"]: record for record in json.loads(call("backends", "--json").stdout)}
    assert tuple(records) == backend_files.names()
    assert records["torch"]["ready"] and records["torch"]["engine"] == "eager"
    assert records["jax"]["reasons"] == [
        {"why": "jax is not installed", "fix": "pip install jax[cpu]"}
    ]


@pytest.mark.usefixtures("no_jax")
def test_backends_says_which_precisions_are_for_which_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = backend_files.load("torch")
    of_each = torch.model_copy(update={"precisions": {"cpu": ("fp32",), "cuda": ("fp16", "fp32")}})
    monkeypatch.setattr(backend_files, "all", lambda: (of_each,))
    monkeypatch.setattr(backend_files, "auto", lambda: torch)
    assert "cpu: fp32, cuda: fp16 fp32" in call("backends", env={"COLUMNS": "200"}).stdout


@pytest.mark.usefixtures("no_jax")
@pytest.mark.parametrize(
    ("names", "code"), [([], 0), (["torch"], 0), (["jax"], 1), (["torch", "jax"], 1)]
)
def test_doctors_exit_code_answers_for_what_was_asked(names: list[str], code: int) -> None:
    done = call("doctor", *names)
    assert done.exit_code == code
    assert ("pip install jax[cpu]" in done.stdout) == ("jax" in names or not names)
    assert "the disk is full" in done.stdout


@pytest.mark.usefixtures("no_jax")
def test_doctor_for_programs() -> None:
    report = json.loads(call("doctor", "jax", "--json").stdout)
    assert report["backends"][0]["lacks"][0]["fix"] == "pip install jax[cpu]"
    assert report["machine"] == [{"why": "the disk is full", "fix": "empty it"}]
    assert report["well"] is False


def test_doctor_knows_no_other_names() -> None:
    assert isinstance(call("doctor", "jaxx").exception, UnknownBackendError)


def test_cache_shows_each_kind(cache: Path) -> None:
    done = call("cache", "--json")
    assert json.loads(done.stdout) == {
        "folder": str(cache),
        "kinds": [
            {"name": "captures", "files": 1, "bytes": 1500},
            {"name": "inductor", "files": 1, "bytes": 10},
        ],
    }
    assert "2 files, 2 kB" in call("cache").stdout


def test_clearing_removes_our_kinds_alone(cache: Path) -> None:
    assert "empty" in call("cache", "clear", "--yes").stdout
    assert [path.name for path in cache.iterdir()] == ["holiday.jpg"]


def test_clearing_asks_first(cache: Path) -> None:
    assert call("cache", "clear", input="n\n").exit_code == 1
    assert (cache / "captures" / "one.safetensors").exists()
    assert call("cache", "clear", input="y\n").exit_code == 0
    assert not (cache / "captures").exists()


def test_an_empty_cache_needs_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "none"))
    assert call("cache", "clear").exit_code == 0


@pytest.mark.parametrize("command", ["run", "generate", "demo", "doctor"])
def test_help_teaches_with_examples(command: str) -> None:
    done = call(command, "--help")
    assert done.exit_code == 0 and f"  sdbackends {command}" in done.stdout


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout.strip() == f"sdbackends {__version__}"
