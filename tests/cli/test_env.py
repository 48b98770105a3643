"""`sdbackends env`: what a person and a program read while an environment is made and kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sdbackends.catalog import environments, install
from sdbackends.catalog.install import Progress
from sdbackends.cli.app import app
from sdbackends.errors import NotMadeError
from tests.tiny_environment import RUNNING, Tiny


def call(*words: str, **more: str) -> Result:
    return CliRunner().invoke(app, ["env", *words], **more)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The environment `tiny`, described and not made."""
    return Tiny(tmp_path, monkeypatch)


def test_make_list_and_remove(tiny: Tiny) -> None:
    made = call("create", "tiny")
    assert made.exit_code == 0, made.exception
    assert "tiny 1.0 is ready after" in made.stdout and "doctor" in made.stdout
    assert "installing 1 packages" in made.stderr and "import tinything" in made.stderr

    (record,) = json.loads(call("list", "--json").stdout)
    assert (record["name"], record["installed"], record["ready"]) == ("tiny", "1.0", True)
    assert record["folder"] == str(tiny.place) and record["reasons"] == []

    again = call("create", "tiny")
    assert "is ready already" in again.stdout and again.stderr == ""

    assert call("remove", "tiny", input="n\n").exit_code == 1
    assert tiny.place.exists()
    assert call("remove", "tiny", "--yes").exit_code == 0
    assert not tiny.place.exists()
    assert "is not there" in call("remove", "tiny").stdout


@pytest.mark.usefixtures("tiny")
def test_the_list_says_what_is_missing_and_the_fix() -> None:
    listed = call("list").stdout
    assert "tiny: needs help" in listed and RUNNING in listed
    assert "fix: sdbackends env create tiny" in listed


@pytest.mark.usefixtures("tiny")
def test_what_fails_ends_in_an_error_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "this_platform", lambda: "plan9-vax")
    environments_file = environments._files() / "tiny.yaml"
    environments_file.write_text(environments_file.read_text() + "platforms: [linux-x86_64]\n")
    failed = call("create", "tiny")
    assert isinstance(failed.exception, NotMadeError)
    assert "fix:" in str(failed.exception)


@pytest.mark.usefixtures("tiny")
def test_a_log_is_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 5))

    def slow(name: str, progress: Progress, **options: object) -> Path:
        progress.phase("installing")
        for second in range(20):
            progress.at_work(f"{second} packages")
        return Path("python")

    monkeypatch.setattr("sdbackends.cli.env.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(install, "create", slow)
    lines = call("create", "tiny").stderr.splitlines()
    assert lines[0] == "installing"
    assert 5 <= len(lines) <= 10 and "packages" in lines[1]


@pytest.mark.parametrize("command", ["create", "remove"])
def test_help_teaches_with_examples(command: str) -> None:
    done = call(command, "--help")
    assert done.exit_code == 0 and f"  sdbackends env {command} oneflow" in done.stdout
