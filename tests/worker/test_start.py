"""What a worker starts with: a clean environment, few modules, and clear words when it cannot."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdbackends.errors import BackendNotReadyError
from sdbackends.worker.client import Worker
from sdbackends.worker.process import Lost, Process
from sdbackends.worker.spec import clean_environment
from tests.worker.helpers import ROOT, call, graph, spec

OURS = ROOT / "sdbackends"


def start(**changes: object) -> BackendNotReadyError:
    """How a worker with this specification fails to start."""
    worker = Worker(spec(**changes))  # type: ignore[arg-type]
    with pytest.raises(BackendNotReadyError, match="the fake worker cannot start") as caught:
        worker.describe()
    assert "sdbackends env create fake" in caught.value.fix
    return caught.value


def test_nothing_runs_before_it_is_needed() -> None:
    worker = Worker(spec(python=Path("/nowhere/python")))
    worker.segment(100).close()
    worker.close()


def test_it_needs_numpy_and_the_standard_library_only(worker: Worker) -> None:
    worker.build(graph(), [], []).run()
    names = set(worker.describe()["modules"])
    ours = {name for name in names if name.partition(".")[0] == "sdbackends"}
    foreign = {name.partition(".")[0] for name in names - ours} - set(sys.stdlib_module_names)
    # What site itself loads (distutils' stand-in of setuptools, .pth files) has no part in it.
    assert foreign - {"__main__", "__mp_main__"} <= {"numpy", "fake"} | _loaded_by_site()
    assert not foreign & {"torch", "pydantic", "yaml", "typer", "rich", "packaging"}
    assert ours <= {
        "sdbackends",
        "sdbackends._version",
        "sdbackends.errors",
        "sdbackends.utils",
        "sdbackends.utils.error_text",
        "sdbackends.capture",
        "sdbackends.capture.graph",
        "sdbackends.worker",
        "sdbackends.worker.buffers",
        "sdbackends.worker.protocol",
        "sdbackends.worker.shared_memory",
        "sdbackends.worker.server",
    }


def _loaded_by_site() -> set[str]:
    code = "import sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    return {name.partition(".")[0] for name in out.stdout.split()}


def test_our_folder_is_not_on_its_path(tmp_path: Path) -> None:
    # In a venv of its own, because an editable install puts the checkout on ours.
    python = bare_python(tmp_path)
    program = (
        "import runpy, sys; sys.argv = ['bootstrap.py']\n"
        f"names = runpy.run_path({str(ROOT / 'sdbackends/worker/bootstrap.py')!r})\n"
        "names['register_package']()\n"
        "import sdbackends.worker.server\n"
        "print(sys.path)"
    )
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout


def test_the_persons_python_does_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SD_BACKEND", "oneflow")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    worker = Worker(spec(environ={"ENGINE_OPTION": "yes", "SD_EXTRA": "given on purpose"}))
    about = worker.describe()
    worker.close()
    environ = about["environ"]
    assert not [entry for entry in about["path"] if entry.startswith(("/nowhere", str(OURS)))]
    assert not {"PYTHONPATH", "SD_BACKEND", "RANK"} & set(environ)
    assert environ["OMP_NUM_THREADS"] == "7"
    assert (environ["ENGINE_OPTION"], environ["SD_EXTRA"]) == ("yes", "given on purpose")


def test_what_is_kept_and_what_is_not() -> None:
    kept = ["PATH", "HOME", "LANG", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LD_LIBRARY_PATH"]
    gone = ["PYTHONHOME", "PYTHONSTARTUP", "SD_VERIFY", "LD_PRELOAD", "VIRTUAL_ENV", "WORLD_SIZE"]
    assert set(clean_environment(dict.fromkeys(kept + gone, "x"))) == set(kept)


def test_no_interpreter(tmp_path: Path) -> None:
    missing = tmp_path / "python"
    assert "No such file" in start(python=missing).why
    missing.write_text("text")
    assert "Permission denied" in start(python=missing).why


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    impostor = tmp_path / "python"
    impostor.write_text("#!/bin/sh\necho this is no Python >&2\nexit 4\n")
    impostor.chmod(0o755)
    why = start(python=impostor).why
    assert "exit code 4" in why and "this is no Python" in why


def test_what_it_said_before_the_first_question_is_kept(tmp_path: Path) -> None:
    impostor = tmp_path / "python"
    impostor.write_text("#!/bin/sh\necho this is no Python >&2\nexit 4\n")
    impostor.chmod(0o755)
    process = Process(spec(python=impostor))
    while process.alive:
        time.sleep(0.01)
    with pytest.raises(Lost, match="this is no Python"):
        process.ask({"do": "start"}, (), 10)


def test_an_interpreter_without_numpy(tmp_path: Path) -> None:
    assert "No module named 'numpy'" in start(python=bare_python(tmp_path)).why


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ("no_such_engine:create", "No module named 'no_such_engine'"),
        ("fake:no_such_function", "no_such_function"),
        ("broken:create", "ImportError: libbroken.so: cannot open"),
    ],
)
def test_no_engine(engine: str, why: str) -> None:
    assert why in start(engine=engine).why


def test_an_engine_that_refuses_its_options(trouble_file: Path) -> None:
    trouble_file.write_text("create exception")
    assert "it does not like this" in start(trouble=trouble_file).why


def test_a_shell_in_between(tmp_path: Path) -> None:
    """pyenv's `python` is a shell script."""
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    worker = Worker(spec(python=wrapper))
    assert call(worker.build(graph((1,)), [], []), 4).tolist() == [4]
    worker.close()


def test_no_compiled_files_of_the_worker_are_left() -> None:
    def written() -> set[Path]:
        return set((ROOT / "tests/worker/engines").rglob("*.pyc"))

    before = written()
    worker = Worker(spec())
    worker.describe()
    worker.close()
    assert written() == before


def bare_python(folder: Path) -> Path:
    """An interpreter with nothing but its standard library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "bare"], check=True)
    return folder / "bare" / "bin" / "python"
