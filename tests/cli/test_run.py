"""`sdbackends run`: the script gets its words untouched, and ends as it would have ended alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.paths import shim_dir

COMMAND = [sys.executable, "-m", "sdbackends", "run"]
TELL = """
import json, os, sys
names = ("PYTHONPATH", "SD_BACKEND", "SD_PRECISION", "SD_DEVICE", "SD_VERIFY", "SD_FALLBACK")
print(json.dumps([sys.argv, {n: os.environ.get(n) for n in names}]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "a script.py"
    path.write_text(TELL)
    return path


def run(
    *words: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [*COMMAND, *words],
        env={**os.environ, "PYTHONPATH": root, **env},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
    )


def told(done: subprocess.CompletedProcess[str]) -> tuple[list[str], dict[str, str | None]]:
    import json

    assert done.returncode == 0, done.stderr
    words, variables = json.loads(done.stdout)
    return words, variables


def test_the_choices_arrive_as_variables_and_the_shim_is_first(script: Path) -> None:
    options = (
        "--backend=torch",
        "--precision=bf16",
        "--device=cpu",
        "--verify",
        "--fallback=error",
    )
    _, variables = told(run(*options, script))
    assert variables.pop("PYTHONPATH", "").split(os.pathsep)[0] == str(shim_dir())
    assert list(variables.values()) == ["torch", "bf16", "cpu", "1", "error"]


@pytest.mark.parametrize(
    "words", [["--help"], ["--backend", "x"], ["-m", "y"], ["--", "-"], ["", "a b", "ü"]]
)
def test_words_after_the_script_are_its_own(script: Path, words: list[str]) -> None:
    assert told(run("-b", "torch", script, *words))[0] == [str(script), *words]


def test_a_module_runs_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    words, _ = told(run("-b", "torch", "-m", "tell", "--help", "-m", cwd=tmp_path))
    assert words[1:] == ["--help", "-m"]


@pytest.mark.parametrize(
    ("set_before", "seen"), [(None, "auto"), ("torch", "torch"), ("unet=torch", "unet=torch")]
)
def test_without_backend_the_variable_holds_else_auto(
    script: Path, set_before: str | None, seen: str
) -> None:
    env = {} if set_before is None else {"SD_BACKEND": set_before}
    assert told(run(script, **env))[1]["SD_BACKEND"] == seen


def test_the_exit_code_and_the_output_are_the_scripts(tmp_path: Path) -> None:
    path = tmp_path / "ends.py"
    path.write_text("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    done = run("-b", "torch", path)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_an_interrupt_reaches_the_script(tmp_path: Path) -> None:
    path = tmp_path / "waits.py"
    path.write_text(
        "import time\ntry:\n print('waiting', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n print('told'); raise SystemExit(5)"
    )
    process = subprocess.Popen(
        [*COMMAND, "-b", "torch", path],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        # A shell's background job ignores interrupts, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert (rest, process.returncode) == ("told\n", 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no script was named"),
        (["nowhere.py"], "no script 'nowhere.py'"),
        (["--bakend", "jax", "x.py"], "no such option: --bakend"),
        (["-m"], "-m needs a word"),
        (["-b", "jaxx", "-c", "pass"], "did you mean 'jax'"),
        (["-b", "unet=jax,unet=torch", "-c", "pass"], "cannot be read"),
        (["--precision", "fp64", "-c", "pass"], "fp64"),
    ],
)
def test_wrong_words_end_in_one_message_and_code_2(words: list[str], message: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_a_wrong_variable_is_refused_before_the_script_starts(script: Path) -> None:
    done = run("-b", "torch", script, SD_RNG="dice")
    assert done.returncode == 2 and "SD_RNG='dice' is not accepted" in done.stderr


def test_a_backend_that_is_not_ready_is_refused_with_the_fix(script: Path) -> None:
    done = run("-b", "compile", script, CXX="no-such-compiler")
    assert done.returncode == 1 and done.stdout == ""
    assert "'compile' is not ready" in done.stderr and "fix:" in done.stderr
