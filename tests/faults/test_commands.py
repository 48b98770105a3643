"""Commands that are interrupted, or have nowhere to write: one message, an exit code, no more."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdbackends
from sdbackends.cli import main, output
from sdbackends.errors import UsageError
from tools.gpu import pack

MAIN = "from sdbackends.cli import main; main()"
SD_MOCK = "from sdbackends.cli import sd_mock; sd_mock()"


def run(code: str, *words: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True, **more
    )


INTERRUPTED_IMPORT = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

from sdbackends.cli import main
sys.meta_path.insert(0, Interrupt())
main()
"""


@pytest.mark.parametrize(
    "name",
    [
        "errno",
        "sdbackends.cli.output",
        "sdbackends.errors",
        "typer",
        "sdbackends.catalog.backend_files",
    ],
)
def test_ctrl_c_while_a_command_is_imported(name):
    code = INTERRUPTED_IMPORT.format(name=name)
    if name == "errno":
        code = "import sys; sys.modules.pop('errno', None)" + code
    done = run(code, "backends", stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (130, "sdbackends: interrupted\n")


def test_nothing_is_imported_before_ctrl_c_can_be_caught():
    """What the two entry points import by themselves: milliseconds, and no other library."""
    code = "import sys; before = set(sys.modules); import sdbackends.cli; "
    code += "print(*(set(sys.modules) - before))"
    done = run(code, stdout=subprocess.PIPE)
    ours = {"__future__", "sdbackends", "sdbackends._version", "sdbackends.cli"}
    assert set(done.stdout.split()) <= ours


def test_ctrl_c_while_a_command_runs(monkeypatch, capsys):
    def examine(names):
        raise KeyboardInterrupt

    monkeypatch.setattr("sdbackends.cli.doctor.examine", examine)
    monkeypatch.setattr(sys, "argv", ["sdbackends", "doctor"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


COMMANDS = pytest.mark.parametrize(
    ("code", "words"),
    [(MAIN, ("--version",)), (MAIN, ("--help",)), (MAIN, ("backends",)), (SD_MOCK, ("jax",))],
    ids=["version", "help", "backends", "sd-mock"],
)


@COMMANDS
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_stdout(code, words, buffered):
    env = {**os.environ, "PYTHONUNBUFFERED": buffered}
    with open("/dev/full", "w") as full:
        done = run(code, *words, stdout=full, env=env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot write" in line and os.strerror(errno.ENOSPC) in line


@COMMANDS
def test_a_closed_stdout(code, words):
    done = run(code, *words, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot write" in line


def test_a_script_finds_the_closed_stdout_that_the_shell_gave(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys; assert sys.stdout is None; print('nowhere')")
    done = run(MAIN, "run", "--backend=torch", str(script), preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_word_is_still_said_where_stdout_is_full(tmp_path):
    done = run(SD_MOCK, "nosuch", preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr.startswith("sd-mock: there is no backend 'nosuch'")
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr


def test_a_reader_who_has_gone_is_told_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    done = run(SD_MOCK, "jax", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_is_an_exit_code_where_stderr_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert output.failed("sdbackends", "why", 2) == 2


@pytest.mark.parametrize("given", [{"backend": 3}, {"backend": ["jax"]}, {"log": True}])
def test_use_with_what_is_no_text(given):
    with pytest.raises(UsageError, match="is no text"):
        sdbackends.use(**given)


@pytest.mark.parametrize(
    "text", ["[]", "{}", "3", '"cut"', '{"cut": []}', '{"cut": {"a": "b"}}', "[" * 100_000, "\xff"]
)
def test_a_damaged_state_of_the_gpu_kit_is_named(tmp_path, text):
    (tmp_path / pack.STATE).write_text(text, "latin-1")
    with pytest.raises(ValueError, match="is damaged"):
        pack.read_state(tmp_path)


def test_a_good_state_of_the_gpu_kit_is_read(tmp_path):
    (tmp_path / pack.STATE).write_text(json.dumps({"cut": {"a": 1, "b": 2.5}}))
    assert pack.read_state(tmp_path) == {"a": 1, "b": 2.5}
