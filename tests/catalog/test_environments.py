"""Worker environments: made whole or not at all, and judged by what lies on the disk."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from sdbackends.catalog import backend_files, environments, install, interpreters, pythons
from sdbackends.catalog import requirements as machine
from sdbackends.catalog.install import create, remove
from sdbackends.catalog.interpreters import Interpreter
from sdbackends.errors import CatalogError, NotMadeError, UsageError
from tests.tiny_environment import RUNNING, Said, Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The environment `tiny`, described and not made."""
    return Tiny(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `tiny` was really made, once for all tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Tiny(tmp_path_factory.mktemp("finished"), monkeypatch)
        create("tiny", Said())
        return made.place


@pytest.fixture
def made(tiny: Tiny, finished: Path) -> Tiny:
    """The environment `tiny`, as if it had been made here."""
    shutil.copytree(finished, tiny.place, symlinks=True)
    stamp = environments.load("tiny").made_from
    (tiny.place / environments.STAMP).write_text(json.dumps(stamp))
    assert environments.lacks("tiny") == []
    return tiny


def why() -> str:
    (lack,) = environments.lacks("tiny")
    assert lack.fix == "sdbackends env create tiny"
    assert environments.interpreter("tiny") is None
    return lack.why


@pytest.mark.parametrize("name", environments.names())
def test_each_file_pins_its_modules_to_versions_that_it_accepts(name: str) -> None:
    environment = environments.load(name)
    pins = {r.name: r.specifier for r in map(Requirement, environment.requirements)}
    for module, accepted in environment.modules.items():
        (pin,) = pins[module]
        assert Requirement(module + accepted).specifier.contains(pin.version)


def test_oneflow_takes_a_python_for_which_there_is_a_wheel() -> None:
    # On a newer one pip takes a stub without a library, and says nothing.
    assert environments.load("oneflow").python == "==3.10.*"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"requirements": ["numpy>=1"]}, "not pinned"),
        ({"requirements": ["num py"]}, "no requirement"),
        ({"size": "much"}, "no size"),
        ({"python": "3.10"}, "no version range"),
        ({"colour": "red"}, "colour"),
        ({"modules": {}}, "modules"),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused(
    tiny: Tiny, change: dict[str, Any], reason: str
) -> None:
    tiny.describe(**change)
    with pytest.raises(CatalogError, match=r"tiny\.yaml:\d") as caught:
        environments.load("tiny")
    assert reason in caught.value.why


@pytest.mark.parametrize("act", [environments.lacks, lambda name: create(name, Said())])
@pytest.mark.usefixtures("tiny")
def test_an_unknown_name_is_answered_with_the_nearest(act: Any) -> None:
    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        act("tinny")


def test_it_is_made_whole_and_the_running_python_gets_nothing(tiny: Tiny) -> None:
    assert "not made" in why()
    tiny.place.mkdir(parents=True)
    (tiny.place / "left by a process that was killed").touch()
    assert "incomplete" in why()

    said = Said()
    python = create("tiny", said)
    assert not (tiny.place / "left by a process that was killed").exists()
    assert environments.lacks("tiny") == []
    assert environments.interpreter("tiny") == python
    assert environments.version("tiny") == "1.0"
    code = "import tinything; print(tinything.answer)"
    assert subprocess.check_output([python, "-c", code], text=True) == "42\n"
    assert importlib.util.find_spec("tinything") is None
    assert not (tiny.place / "tmp").exists()
    assert said.phases and said.work, "it was silent"

    again = Said()
    assert create("tiny", again) == python
    assert again.phases == [], "what is ready was made again"


def test_another_yaml_makes_it_out_of_date_and_create_makes_it_anew(made: Tiny) -> None:
    (made.place / "of the old one").touch()
    made.describe(
        requirements=[f"tinything @ {made.wheel(version='1.1').as_uri()}"],
    )
    assert "out of date" in why()
    create("tiny", Said())
    assert environments.version("tiny") == "1.1"
    assert not (made.place / "of the old one").exists()


@pytest.mark.parametrize("stamp", [None, "", "{", "[]"])
def test_without_a_whole_stamp_it_is_incomplete(made: Tiny, stamp: str | None) -> None:
    path = made.place / environments.STAMP
    path.unlink()
    if stamp is not None:
        path.write_text(stamp)
    assert "incomplete" in why()


def test_a_base_python_that_is_gone_breaks_it(made: Tiny) -> None:
    python = environments.python_in(made.place)
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "/nowhere/python3" in why()


@pytest.mark.parametrize("what", ["tinything.py", "tinything-1.0.dist-info"])
def test_a_package_that_is_gone_breaks_it(made: Tiny, what: str) -> None:
    (path,) = made.place.rglob(what)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "tinything is not in it" in why()
    assert environments.version("tiny") is None


def test_another_version_in_it_breaks_it(made: Tiny) -> None:
    made.describe(modules={"tinything": ">=3"})
    assert "tinything 1.0 is in it, >=3 is needed" in why()


def test_what_pip_cannot_find_is_told_and_nothing_is_left(tiny: Tiny) -> None:
    tiny.describe(requirements=["no-such-thing==1.0"])
    with pytest.raises(NotMadeError, match="No matching distribution") as caught:
        create("tiny", Said())
    assert "package index" in caught.value.fix and caught.value.exit_code == 1
    assert not tiny.place.exists()


def test_what_cannot_be_imported_is_told_and_nothing_is_left(tiny: Tiny) -> None:
    tiny.wheel(code="raise ImportError('libnothing.so.1: cannot open')\n")
    with pytest.raises(NotMadeError, match=r"libnothing\.so\.1"):
        create("tiny", Said())
    assert not tiny.place.exists()


def test_an_interrupt_leaves_nothing(tiny: Tiny) -> None:
    class Impatient(Said):
        def at_work(self, text: str) -> None:
            assert tiny.place.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create("tiny", Impatient())
    assert not tiny.place.exists()


def test_the_second_waits_for_the_first_and_takes_what_it_made(made: Tiny) -> None:
    stamp = made.place / environments.STAMP
    text = stamp.read_text()
    stamp.unlink()
    said, results = Said(), []
    with open(made.place.parent / ".tiny.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: results.append(create("tiny", said)))
        second.start()
        while not said.phases and second.is_alive():
            time.sleep(0.01)
        stamp.write_text(text)
    second.join()
    (phase,) = said.phases
    assert "waiting" in phase
    assert results == [environments.interpreter("tiny")]


def test_a_disk_that_is_too_full_is_told_before_anything_is_removed(
    made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.describe(size="900 GB")
    full = SimpleNamespace(free=10**9)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(NotMadeError, match=r"1350\.0 GB, 1\.0 GB are free") as caught:
        create("tiny", Said(), recreate=True)
    assert "SD_ENV_DIR" in caught.value.fix
    assert environments.lacks("tiny") == []


def test_a_folder_that_cannot_be_written_is_told(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.folder / "file").touch()
    monkeypatch.setenv("SD_ENV_DIR", str(tiny.folder / "file"))
    with pytest.raises(NotMadeError, match="fix: another folder: SD_ENV_DIR"):
        create("tiny", Said())


def test_without_a_fitting_python_the_fix_is_what_this_machine_has(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.describe(python="==3.10.*")
    other = Interpreter(Path("/usr/bin/python3"), (3, 99, 0), makes_environments=True)
    monkeypatch.setattr(interpreters, "find", lambda: iter([other]))
    for tool, fix in (
        ("pyenv", "pyenv install 3.10"),
        ("conda", "conda create"),
        ("", "-m uv python install 3.10"),
    ):
        monkeypatch.setattr(
            pythons.shutil,
            "which",
            lambda name, tool=tool: tool if name == tool else None,
        )
        with pytest.raises(NotMadeError, match=r"no CPython ==3\.10") as caught:
            create("tiny", Said())
        assert fix in caught.value.fix
    assert not tiny.place.exists()


@pytest.mark.usefixtures("tiny")
def test_a_python_without_venv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    release = tuple(map(int, RUNNING.strip("=.*").split(".")))
    bare = Interpreter(Path("/usr/bin/python3"), (*release, 1), makes_environments=False)
    monkeypatch.setattr(interpreters, "find", lambda: iter([bare]))
    monkeypatch.setattr(pythons, "_virtualenv", list)
    with pytest.raises(NotMadeError, match="lacks venv"):
        create("tiny", Said())


def test_a_python_that_was_named_has_to_fit(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a CPython"):
        create("tiny", Said(), python=tmp_path)
    running = next(interpreters.find()).path
    tiny.describe(python="==3.9.*")
    with pytest.raises(UsageError, match=r"needs ==3\.9"):
        create("tiny", Said(), python=running)


@pytest.mark.parametrize("recreate", [False, True])
def test_a_machine_for_which_there_are_no_wheels_is_told(tiny: Tiny, recreate: bool) -> None:
    tiny.describe(platforms=["plan9-vax"])
    (lack,) = environments.lacks("tiny")
    assert "is for plan9-vax" in lack.why and "backends" in lack.fix
    with pytest.raises(NotMadeError, match="plan9-vax"):
        create("tiny", Said(), recreate=recreate)


def test_it_is_removed(made: Tiny) -> None:
    assert remove("tiny", Said())
    assert not made.place.exists()
    assert not remove("tiny", Said())


def _backend(tiny: Tiny, **changes: Any) -> backend_files.Backend:
    described = {
        "engine": "eager",
        "summary": "a test",
        "worker": "tiny",
        "requirements": ["packaging==1.0"],
        "modules": {"packaging": ">=1"},
        "precisions": ["fp32"],
        "devices": ["cpu"],
    }
    (tiny.folder / "backends" / "mine.yaml").write_text(yaml.safe_dump({**described, **changes}))
    return backend_files.load("mine")


def test_a_backend_is_as_ready_as_its_worker(made: Tiny) -> None:
    backend = _backend(made)
    ready = backend_files.readiness(backend)
    assert ready.ready and ready.installed == "1.0"
    remove("tiny", Said())
    gone = backend_files.readiness(backend)
    assert gone.installed is None
    assert [lack.fix for lack in gone.reasons] == ["sdbackends env create tiny"]


def test_a_backend_names_an_environment_that_exists(tiny: Tiny) -> None:
    with pytest.raises(CatalogError, match="no environment 'tny'; environments: tiny"):
        _backend(tiny, worker="tny")


def test_what_this_python_lacks_is_not_told_where_another_one_is_needed(tiny: Tiny) -> None:
    backend = _backend(tiny, worker=None, python="==3.9.*", modules={"no_such_module": ">=1"})
    (lack,) = backend_files.readiness(backend).reasons
    assert "Python" in lack.why and "pip install packaging==1.0" in lack.fix
    assert machine.python_lacks(backend.python)[0].fix.endswith("3.9.*")
