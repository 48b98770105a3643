"""Users and homes as a machine can have them, and everything said once more for each test."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from sdbackends import log

STRANGER = 54321


@pytest.fixture(autouse=True)
def nothing_was_said() -> None:
    log.forget()


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's bare uid: no HOME, and no entry in the list of users."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in ("HOME", "SD_CACHE_DIR", "SD_ENV_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder another user's; who is not root becomes another user instead."""

    def change(folder: Path) -> None:
        if os.getuid() == 0:
            os.chown(folder, STRANGER, STRANGER)
        else:
            monkeypatch.setattr(os, "getuid", lambda: STRANGER)

    return change
