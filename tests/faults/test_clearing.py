"""`sdbackends cache` over folders that are links, closed, or gone in the meantime."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sdbackends.catalog import cache
from sdbackends.cli import main
from sdbackends.errors import NotClearedError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of inductor's, and captures that lie on another disk."""
    (tmp_path / "cache" / "inductor").mkdir(parents=True)
    (tmp_path / "cache" / "inductor" / "one").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "two").write_bytes(b"y")
    (tmp_path / "cache" / "captures").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_link_stays_with_what_it_leads_to_and_the_rest_goes(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sdbackends", "cache", "clear", "--yes"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "captures is a link" in said and f"fix: rm -r {folder / 'captures'}" in said
    assert (folder / "captures" / "two").is_file()
    assert not (folder / "inductor").exists()


def test_what_cannot_be_removed_is_named_and_the_rest_goes(folder, monkeypatch):
    (folder / "captures").unlink()
    (folder / "captures").mkdir()
    real = cache.shutil.rmtree

    def remove(path: Path) -> None:
        if path.name == "captures":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        real(path)

    monkeypatch.setattr(cache.shutil, "rmtree", remove)
    with pytest.raises(NotClearedError, match="captures") as failed:
        cache.clear(folder)
    assert "Permission denied" in str(failed.value)
    assert not (folder / "inductor").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user for a while")
def test_a_folder_that_may_not_be_entered_is_empty_to_us(folder):
    (folder / "inductor").chmod(0o700)
    folder.chmod(0o700)
    os.seteuid(54321)
    try:
        assert cache.contents(folder) == ()
    finally:
        os.seteuid(0)
