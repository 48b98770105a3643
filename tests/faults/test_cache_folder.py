"""The cache's folder: ours alone, or not used; where it is at fault the run goes on without it."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
from pathlib import Path

import pytest
import torch

from sdbackends.catalog import doctor, requirements
from sdbackends.engines import inductor_folder
from sdbackends.engines.base import EngineContext
from sdbackends.engines.inductor import InductorEngine
from sdbackends.engines.inductor_folder import ProgramFolder
from sdbackends.errors import NoHomeError
from sdbackends.runtime.cache_folder import open_folder
from sdbackends.settings import Settings
from sdbackends.utils import private_folder


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.fixture
def wide_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def nobody_chose(monkeypatch):
    """No folder of inductor's in the environment, and no temporary one from another test."""
    import torch._inductor.runtime.cache_dir_utils  # noqa: F401  (its import writes a default)

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    inductor_folder._temporary.cache_clear()
    yield
    inductor_folder._temporary.cache_clear()


@pytest.fixture
def healthy(monkeypatch):
    """A machine whose packages are in order, so that only the cache is told of."""
    monkeypatch.setattr(requirements, "version", lambda name: None)
    monkeypatch.setattr(requirements, "gpu", lambda: False)


def opened(folder: Path, kind: str = "inductor") -> Path | None:
    return open_folder(Settings(cache_dir=folder), kind)


@pytest.mark.usefixtures("wide_umask")
def test_every_folder_that_we_make_is_the_users_alone(tmp_path):
    assert opened(tmp_path / "a" / "cache", "own/mine.Engine") is not None
    made = [Path(place) for place, _, _ in os.walk(tmp_path)][1:]
    assert [str(place.relative_to(tmp_path)) for place in made] == [
        "a",
        "a/cache",
        "a/cache/own",
        "a/cache/own/mine.Engine",
    ]
    assert {mode(place) for place in made} == {0o700}


@pytest.mark.parametrize("which", [".", "inductor"])
@pytest.mark.parametrize("open_to", [0o777, 0o1777, 0o775, 0o720, 0o702])
def test_a_folder_that_others_may_write_into_is_not_used(tmp_path, capsys, which, open_to):
    folder = opened(tmp_path).parent / which
    folder.chmod(open_to)
    assert opened(tmp_path) is None
    assert opened(tmp_path) is None
    said = capsys.readouterr().err
    assert said.count("the cache is not used") == 1
    assert f"fix: chmod 700 {folder}" in said
    folder.chmod(0o700)
    assert opened(tmp_path) == tmp_path / "inductor"


@pytest.mark.parametrize("which", [".", "inductor"])
def test_a_folder_of_another_user_is_not_used(tmp_path, capsys, give_away, which):
    folder = opened(tmp_path).parent / which
    give_away(folder)
    assert opened(tmp_path) is None
    said = capsys.readouterr().err
    assert "belongs to another user" in said and "fix: export SD_CACHE_DIR=" in said


def test_a_folder_that_others_may_only_read_is_used(tmp_path):
    tmp_path.chmod(0o755)
    assert opened(tmp_path) is not None


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert opened(tmp_path / "file") is None
    assert "fix: export SD_CACHE_DIR=" in capsys.readouterr().err


@pytest.mark.usefixtures("no_home")
def test_a_user_without_a_home_keeps_nothing(capsys):
    with pytest.raises(NoHomeError):
        _ = Settings().cache_folder
    with pytest.raises(NoHomeError):
        _ = Settings().environments_folder
    assert open_folder(Settings(), "captures") is None
    assert 'fix: export SD_CACHE_DIR="$(mktemp -d)"' in capsys.readouterr().err


@pytest.mark.usefixtures("nobody_chose")
def test_without_a_folder_programs_lie_in_a_private_one_until_the_process_ends(monkeypatch):
    folder = ProgramFolder(None)
    place = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert mode(place) == 0o700
    folder.close()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    ended = []
    monkeypatch.setattr(inductor_folder.atexit, "register", ended.append)
    inductor_folder._temporary.cache_clear()
    place = inductor_folder._temporary()
    (remove,) = ended
    monkeypatch.setattr(inductor_folder.os, "getpid", lambda: -1)
    remove()
    assert place.is_dir(), "a forked child ends before its parent"
    monkeypatch.undo()
    remove()
    assert not place.exists()


@pytest.mark.usefixtures("nobody_chose")
def test_programs_move_to_a_temporary_folder_when_the_disk_is_full(tmp_path, monkeypatch, capsys):
    folder = ProgramFolder(tmp_path)
    assert not folder.replace_full(), "there is room"

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(inductor_folder.tempfile, "TemporaryFile", full)
    assert folder.replace_full()
    assert not folder.replace_full(), "a second time would change nothing"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(inductor_folder._temporary())
    assert capsys.readouterr().err.count("No space left on device") == 1
    folder.close()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_a_graph_is_compiled_again_after_the_move(monkeypatch):
    engine = InductorEngine(EngineContext())
    tries = []

    def compile(graph, inputs, mode):
        tries.append(graph)
        if len(tries) == 1:
            raise RuntimeError("g++: No space left on device")
        return graph

    monkeypatch.setattr(engine, "_compile", compile)
    monkeypatch.setattr(engine._folder, "replace_full", lambda: len(tries) == 1)
    graph = torch.fx.symbolic_trace(torch.nn.Linear(2, 2))
    assert engine.compile(graph, []) is graph and len(tries) == 2
    engine.close()


def test_a_list_of_checksums_that_cannot_be_written_leaves_no_part(tmp_path):
    pytest.importorskip("jax")
    from sdbackends.engines.jax import compile_cache

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        compile_cache._sign(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_the_user_chose_for_inductor_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/somewhere/else")
    folder = ProgramFolder(None)
    assert not folder.replace_full()
    folder.close()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/somewhere/else"


@pytest.mark.usefixtures("healthy")
class TestDoctor:
    """`sdbackends doctor` advises what no other user can have made before."""

    def fix(self) -> str:
        (lack,) = doctor.troubles()
        return lack.fix

    def test_it_never_advises_a_name_in_the_common_temporary_folder(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "file"))
        monkeypatch.setattr(tempfile, "tempdir", "/common")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert self.fix() == f"export SD_CACHE_DIR={tmp_path / 'sdbackends-cache'}"
        tmp_path.chmod(0o777)
        assert self.fix() == 'export SD_CACHE_DIR="$(mktemp -d)"'

    def test_the_home_of_another_user_is_no_advice(self, tmp_path, monkeypatch, give_away):
        (tmp_path / "file").touch()
        home = tmp_path / "home"
        home.mkdir()
        give_away(home)
        monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "file"))
        monkeypatch.setenv("HOME", str(home))
        assert self.fix() == 'export SD_CACHE_DIR="$(mktemp -d)"'

    def test_it_knows_of_a_folder_that_is_not_used(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path))
        assert not doctor.troubles()
        opened(tmp_path).chmod(0o777)
        assert self.fix() == f"chmod 700 {tmp_path / 'inductor'}"

    @pytest.mark.usefixtures("no_home")
    def test_it_knows_of_a_user_without_a_home(self):
        assert "mktemp -d" in self.fix()


@pytest.mark.usefixtures("nobody_chose")
def test_what_others_planted_is_not_executed(tmp_path):
    planted = tmp_path / "inductor"
    planted.mkdir()
    planted.chmod(0o777)
    folder = ProgramFolder(opened(tmp_path))
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == inductor_folder._temporary()
    folder.close()


def test_root_is_no_exception(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0 if tmp_path.stat().st_uid else 1)
    assert private_folder.refusal(tmp_path) is not None
