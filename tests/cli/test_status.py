"""What is said where a shell is switched, half switched, or not; in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdbackends import __version__
from sdbackends.paths import shim_dir

SHIM = str(shim_dir())
MAIN = "import sys; from sdbackends.cli import {0}; sys.argv[0] = '{0}'; {0}()"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A folder for PATH in which `python` is this one."""
    return program(tmp_path / "bin", f'exec "{sys.executable}" "$@"')


def program(folder: Path, line: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "python").write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    (folder / "python").chmod(0o755)
    return folder


def run(*words: str, path: Path | str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command, *rest = words
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SD_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", MAIN.format(command), *rest],
        env={**kept, "PATH": str(path), **env},
        capture_output=True,
        text=True,
    )


def status(**env: Any) -> tuple[int, dict[str, Any]]:
    done = run("sd_mock", "--status", "--json", **env)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_a_switched_shell(python: Path) -> None:
    code, told = status(path=python, PYTHONPATH=f"{SHIM}:/mine", SD_BACKEND="unet=jax,vae=torch")
    assert (code, told["switched"], told["lacks"]) == (0, True, [])
    assert told["backend"] == "unet=jax,vae=torch" and told["shim"] == SHIM
    assert told["python"]["sdbackends"] == __version__ and told["python"]["shim"]


@pytest.mark.parametrize(
    ("env", "why", "fix"),
    [
        ({"SD_BACKEND": "jax"}, "the shim is not on PYTHONPATH", 'eval "$(sd-mock jax)"'),
        ({"PYTHONPATH": SHIM}, "SD_BACKEND is not set", "export SD_BACKEND=jax"),
        ({"PYTHONPATH": SHIM, "SD_BACKEND": "jaxx"}, "no backend 'jaxx'", "did you mean 'jax'?"),
        ({"PYTHONPATH": SHIM, "SD_BACKEND": "unet="}, "cannot be read", "accepted: one name"),
    ],
)
def test_a_shell_that_is_not_switched(
    python: Path, env: dict[str, str], why: str, fix: str
) -> None:
    code, told = status(path=python, **env)
    assert (code, told["switched"], len(told["lacks"])) == (1, False, 1)
    assert why in told["lacks"][0]["why"] and fix in told["lacks"][0]["fix"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f'exec "{sys.executable}" -S "$@"', "cannot import sdbackends"),
        (f'exec "{sys.executable}" -E "$@"', "ignores PYTHONPATH"),
        ("exit 1", "no `python` on PATH can be started"),
    ],
    ids=["another environment", "-E", "broken"],
)
def test_a_python_that_the_shim_cannot_serve(tmp_path: Path, line: str, why: str) -> None:
    folder = program(tmp_path / "bin", line)
    code, told = status(path=folder, PYTHONPATH=SHIM, SD_BACKEND="jax")
    assert code == 1 and len(told["lacks"]) == 1
    assert why in told["lacks"][0]["why"] and told["lacks"][0]["fix"]


def test_the_shim_of_another_installation(python: Path, tmp_path: Path) -> None:
    (tmp_path / "sdbackends_shim.py").touch()
    code, told = status(path=python, PYTHONPATH=str(tmp_path), SD_BACKEND="jax")
    assert code == 1 and "another installation's" in told["lacks"][0]["why"]


def test_the_lines(python: Path) -> None:
    done = run("sd_mock", "--status", path=python, SD_BACKEND="jax")
    first, *rest = done.stdout.splitlines()
    assert (done.returncode, first) == (1, "this shell: not switched, although SD_BACKEND=jax")
    assert rest[-2:] == ["  why: the shim is not on PYTHONPATH", '  fix: eval "$(sd-mock jax)"']
    assert "sdbackends 0" in rest[2]


@pytest.mark.parametrize("words", [("--off",), ("jax",), ("--all",)])
def test_status_stands_alone(words: tuple[str, ...]) -> None:
    done = run("sd_mock", "--status", *words)
    assert done.returncode == 2 and "stands alone" in done.stderr


def test_doctor_says_whether_this_shell_is_switched(python: Path) -> None:
    done = run("main", "doctor", "torch", path=python, PYTHONPATH=SHIM, SD_BACKEND="jax")
    assert "this shell: switched: scripts run on jax\n" in done.stdout
    done = run("main", "doctor", "torch", path=python, SD_BACKEND="jax")
    assert "not switched, although SD_BACKEND=jax" in done.stdout
    assert 'fix: eval "$(sd-mock jax)"' in done.stdout
    done = run("main", "doctor", "torch", path=python)
    assert done.stdout.endswith("this shell: not switched: scripts run on plain torch\n")


def test_doctor_refuses_a_misspelt_backend(python: Path) -> None:
    done = run("main", "doctor", path=python, SD_BACKEND="jaxx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no backend 'jaxx'" in done.stderr and "did you mean 'jax'?" in done.stderr


USES = "import sys, types\nimport sdbackends\nsys.modules['diffusers'] = types.ModuleType('d')\n"


@pytest.mark.parametrize(
    ("options", "script", "env", "said"),
    [
        (("-E",), USES, {}, "python -E and -I ignore PYTHONPATH"),
        (("-I",), USES, {}, "python -E and -I ignore PYTHONPATH"),
        ((), USES, {}, 'Fix: eval "$(sd-mock jax)"'),
        # No false alarms: no models, a session, the shim, no choice.
        ((), "import sdbackends", {}, ""),
        (
            (),
            USES + "sys.modules['sdbackends.session'] = types.SimpleNamespace("
            "was_active=lambda: True)",
            {},
            "",
        ),
        ((), USES, {"PYTHONPATH": SHIM}, ""),
        ((), USES, {"SD_BACKEND": ""}, ""),
    ],
)
def test_a_process_on_which_the_choice_had_no_effect(
    tmp_path: Path, options: tuple[str, ...], script: str, env: dict[str, str], said: str
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SD_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env={**kept, "SD_BACKEND": "jax", **env},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and done.stderr.count("\n") == bool(said), done.stderr
    assert said in done.stderr
