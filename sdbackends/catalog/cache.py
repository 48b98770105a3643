"""What lies in the cache directory, and how it is emptied.

Each kind of entry has a folder of its own: `captures/`, one named as each engine, `own/` for
engines of the user's, and `names/` for what OneFlow has (`sd-mock --check`). Nothing but these
folders is counted or removed: `SD_CACHE_DIR` may be a folder that holds other things too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdbackends.engines import ENGINES
from sdbackends.errors import NotClearedError

KINDS = ("captures", *ENGINES, "own", "names")


@dataclass(frozen=True)
class Kind:
    """One kind of entry: how many files, how many bytes."""

    name: str
    files: int
    bytes: int


def contents(folder: Path) -> tuple[Kind, ...]:
    """The kinds that are there, as far as they can be looked at."""
    kinds = []
    for name in KINDS:
        sizes = list(_sizes(folder / name))
        if sizes:
            kinds.append(Kind(name, len(sizes), sum(sizes)))
    return tuple(kinds)


def clear(folder: Path) -> None:
    """Remove every kind; what else lies in `folder` stays.

    Raises:
        NotClearedError: one of them is a link, or cannot be removed; the others are gone.
    """
    left = [(name, why) for name in KINDS if (why := _remove(folder / name))]
    if left:
        raise NotClearedError(
            f"not all of the cache could be removed: {', '.join(name for name, _ in left)}",
            where=str(folder),
            why="; ".join(dict.fromkeys(why for _, why in left)),
            fix=f"rm -r {shlex.join(str(folder / name) for name, _ in left)}",
        )


def _sizes(folder: Path) -> Iterator[int]:
    """Of every file in the folder; other processes may be writing and removing there."""
    for place, _, names in os.walk(folder):  # passes by what it may not enter
        for name in names:
            with contextlib.suppress(OSError):
                state = os.stat(os.path.join(place, name))
                if stat.S_ISREG(state.st_mode):
                    yield state.st_size


def _remove(folder: Path) -> str:
    """Why the folder is still there; "": it is gone, or never was."""
    try:
        if folder.is_symlink():
            return f"{folder.name} is a link, and what it leads to may be used by others"
        shutil.rmtree(folder)
    except OSError as error:
        if os.path.isdir(folder):
            return error.strerror or str(error)
    return ""
