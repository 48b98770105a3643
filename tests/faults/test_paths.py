"""Paths that no system can have: one message and exit code 2, whoever is given them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from sdbackends.catalog import environments, interpreters
from sdbackends.cli import main, sd_mock
from sdbackends.errors import UsageError
from sdbackends.matrix.cell_command import without_places
from sdbackends.paths import pipelines_dir
from sdbackends.settings import Settings, own_backends

VARIABLES = ("SD_CACHE_DIR", "SD_ENV_DIR", "SD_MEASURE", "SD_SURVEY")
LONG = "/" + "x" * 5000
#: The last is just too long once a name has been added to it.
PATHS = {"no user": "~nosuchuser/x", "long": LONG, "long below": "/" + "y/" * 2045}
BAD = pytest.mark.parametrize("path", [PATHS["no user"], LONG], ids=["no user", "long"])


def ended(monkeypatch, command, *words: str) -> object:
    """The exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["command", *words])
    with pytest.raises(SystemExit) as end:
        command()
    return end.value.code


@BAD
@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_is_refused_by_name(name, path):
    with pytest.raises(UsageError) as refused:
        Settings.from_environment({name: path})
    assert name in str(refused.value) and "fix:" in str(refused.value)
    assert all(len(line) < 200 for line in str(refused.value).splitlines())


@BAD
def test_a_folder_of_backends_is_refused_by_name(path):
    with pytest.raises(UsageError, match="SD_BACKENDS_DIR"):
        own_backends({"SD_BACKENDS_DIR": path})


@BAD
@pytest.mark.parametrize("words", [("cache",), ("doctor", "torch"), ("env", "list")], ids="-".join)
def test_commands_end_in_a_message(monkeypatch, capsys, words, path):
    for name in VARIABLES:
        monkeypatch.setenv(name, path)
    assert ended(monkeypatch, main, *words) == 2
    said = capsys.readouterr()
    assert said.out == "" and "SD_CACHE_DIR" in said.err


@BAD
def test_backends_and_sd_mock_end_in_a_message(monkeypatch, capsys, path):
    monkeypatch.setenv("SD_BACKENDS_DIR", path)
    assert ended(monkeypatch, main, "backends") == 2
    assert ended(monkeypatch, sd_mock, "jax") == 2
    said = capsys.readouterr()
    assert said.out == "false;\n" and said.err.count("SD_BACKENDS_DIR") >= 2


@pytest.mark.parametrize("words", [("cache",), ("cache", "clear", "-y"), ("env", "list")])
def test_a_folder_in_which_no_name_fits_is_nothing_to_stop_at(monkeypatch, capsys, words):
    for name in ("SD_CACHE_DIR", "SD_ENV_DIR"):
        monkeypatch.setenv(name, PATHS["long below"])
    assert ended(monkeypatch, main, *words) == 0


def test_an_environment_that_cannot_be_looked_at_is_not_ready(monkeypatch):
    monkeypatch.setenv("SD_ENV_DIR", PATHS["long below"])
    monkeypatch.setattr(environments, "platform_lacks", lambda environment: [])
    (lack,) = environments.lacks("oneflow")
    assert "File name too long" in lack.why and "SD_ENV_DIR" in lack.fix
    assert environments.version("oneflow") is None


@pytest.mark.parametrize(
    "words", [("run", LONG), ("report", LONG), ("ops", LONG)], ids=["run", "report", "ops"]
)
def test_an_argument_that_is_too_long_ends_in_a_message(monkeypatch, capsys, words):
    assert ended(monkeypatch, main, *words) == 2
    assert "too long" in capsys.readouterr().err


def test_a_script_to_check_that_is_too_long_ends_in_a_message(monkeypatch, capsys):
    assert ended(monkeypatch, sd_mock, "--check", LONG) == 2
    assert "too long" in capsys.readouterr().err


@pytest.mark.usefixtures("no_home")
class TestWithoutAHome:
    """What else looks for the user's home does without it."""

    def test_the_environments_say_what_they_lack(self, monkeypatch, capsys):
        monkeypatch.setattr(environments, "platform_lacks", lambda environment: [])
        (lack,) = environments.lacks("oneflow")
        assert "no home" in lack.why and "SD_ENV_DIR" in lack.fix
        assert environments.version("oneflow") is None
        assert ended(monkeypatch, main, "env", "list") == 0
        assert ended(monkeypatch, main, "env", "create", "oneflow") != 0

    def test_the_cache_asks_for_a_folder(self, monkeypatch, capsys):
        assert ended(monkeypatch, main, "cache") == 2
        assert "fix: export SD_CACHE_DIR=" in capsys.readouterr().err

    def test_pythons_and_places_are_found(self):
        assert list(interpreters._patterns())
        assert without_places("/a/b", {"A": Path("/a")}) == "A/b"


@pytest.fixture
def arguments(monkeypatch):
    """The command line of the pipelines, which are plain scripts."""
    monkeypatch.syspath_prepend(str(pipelines_dir()))
    yield importlib.import_module("_arguments")
    sys.modules.pop("_arguments")


@pytest.mark.parametrize("kind", ["picture_file", "existing_file", "model_name"])
@pytest.mark.parametrize("given", ["~nosuchuser/x.png", LONG + ".png"], ids=["no user", "long"])
def test_a_pipelines_files_are_refused(arguments, kind, given):
    with pytest.raises(arguments.argparse.ArgumentTypeError):
        getattr(arguments, kind)(given)
