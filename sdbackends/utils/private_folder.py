"""Folders that nobody but the user can write into, and how one is made.

What lies in the cache is executed by a later process, so who can write there runs code as the
user. A folder that another user owns, or into which others may write, is therefore refused.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Refusal:
    """Why a folder is not private (`why` begins with its path), and the command that fixes it."""

    why: str
    fix: str


def make(folder: Path) -> None:
    """Make the folder, and every one above it that is missing, for the user alone.

    Raises:
        OSError: it cannot be made, or is no folder.
    """
    for each in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        each.mkdir(mode=0o700, exist_ok=True)


def refusal(folder: Path) -> Refusal | None:
    """What is wrong with a folder that exists; None: it is private, or the system knows no modes.

    Root's own eyes are no exception: what a user has written must not be executed by root.

    Raises:
        OSError: it cannot be looked at.
    """
    if os.name != "posix":
        return None
    state = folder.stat()
    if state.st_uid != os.getuid():
        return Refusal(f"{folder} belongs to another user (uid {state.st_uid})", elsewhere())
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(state.st_mode)
        fix = f"chmod 700 {shlex.quote(str(folder))}"
        return Refusal(f"other users may write into {folder} (mode {mode:04o})", fix)
    return None


def elsewhere() -> str:
    """The command that moves the cache to a place that nobody else can have made before."""
    try:
        folder = Path.home() / "sdbackends-cache"
        home_is_own = refusal(folder.parent) is None and os.access(folder.parent, os.W_OK)
        if home_is_own and (not folder.exists() or refusal(folder) is None):
            return f"export SD_CACHE_DIR={shlex.quote(str(folder))}"
    except (OSError, RuntimeError):  # no home is known, or nobody may look at it
        pass
    return 'export SD_CACHE_DIR="$(mktemp -d)"'
