"""The matrix session of the noxfile: its words, and environments that cannot be made."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nox
import pytest

FILE = Path(__file__).parents[2] / "noxfile.py"
if not FILE.exists():
    pytest.skip("the noxfile is in a checkout alone", allow_module_level=True)


@pytest.fixture(scope="module")
def noxfile() -> Any:
    spec = importlib.util.spec_from_file_location("the_noxfile", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def known(**other: Any) -> list[dict[str, Any]]:
    one = {
        "name": "mine",
        "python": ">=3.10",
        "requirements": ["torch==2.13.0", "diffusers==0.42.1"],
        "host": "torch",
        "worker": None,
    }
    return [{**one, **other}]


def make(noxfile: Any, quick: bool = True, **other: Any) -> Any:
    return noxfile.backend_environment(None, known(**other), "mine", quick=quick)


@pytest.mark.parametrize(
    ("words", "backends", "others"),
    [
        ([], [], []),
        (["--quick", "--pipeline", "taiyi"], [], ["--quick", "--pipeline", "taiyi"]),
        (["--backend", "jax,torch", "--quick"], ["jax,torch"], ["--quick"]),
        (["--backend=jax", "--list", "-o", "x"], ["jax"], ["-o", "x"]),
    ],
)
def test_the_words_after_the_dashes(
    noxfile: Any, words: list[str], backends: list[str], others: list[str]
) -> None:
    options = noxfile._matrix_options(words)
    assert (options.backend, options.others) == (backends, others)
    assert options.quick == ("--quick" in words) and options.list == ("--list" in words)


def test_a_backend_without_its_python(noxfile: Any) -> None:
    with pytest.raises(noxfile.NotMadeError, match=r"needs Python ==2\.7\.\*"):
        make(noxfile, python="==2.7.*")


def test_a_quick_run_makes_no_environment_of_gigabytes(noxfile: Any) -> None:
    with pytest.raises(noxfile.NotMadeError, match=r"gigabytes: nox -s .*mine.* without --quick"):
        make(noxfile, host="oneflow")


def test_what_pip_cannot_install_is_named(noxfile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def environment(*_: Any) -> Path:
        raise nox.command.CommandFailed("pip failed")

    monkeypatch.setattr(noxfile, "environment", environment)
    with pytest.raises(noxfile.NotMadeError, match=r"torch==2\.13\.0 diffusers==0\.42\.1"):
        make(noxfile)


def test_torch_is_installed_first_and_the_worker_only_in_a_full_run(
    noxfile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.delenv("SD_TORCH", raising=False)
    monkeypatch.setattr(noxfile, "run", lambda *words: asked.append(words[2:]))

    def environment(_: Any, name: str, __: str, what: list[str], torch: str) -> Path:
        asked.append((name, what, torch))
        return Path("bin/python")

    monkeypatch.setattr(noxfile, "environment", environment)
    make(noxfile, worker="oneflow")
    made = ("matrix-mine", ["-e", ".[matrix]", "diffusers==0.42.1"], "torch==2.13.0")
    assert asked == [made]
    make(noxfile, quick=False, worker="oneflow")
    assert asked[1:] == [made, ("env", "create", "oneflow")]
