"""What lies in the cache directory, and how it is emptied.

Each kind of entry has a folder of its own: `captures/`, one named as each engine, and `own/` for
engines of the user's. Nothing but these folders is counted or removed: `SD_CACHE_DIR` may be a
folder that holds other things too.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sdbackends.engines import ENGINES

KINDS = ("captures", *ENGINES, "own")


@dataclass(frozen=True)
class Kind:
    """One kind of entry: how many files, how many bytes."""

    name: str
    files: int
    bytes: int


def contents(folder: Path) -> tuple[Kind, ...]:
    """The kinds that are there."""
    kinds = []
    for name in KINDS:
        sizes = [path.stat().st_size for path in (folder / name).rglob("*") if path.is_file()]
        if sizes:
            kinds.append(Kind(name, len(sizes), sum(sizes)))
    return tuple(kinds)


def clear(folder: Path) -> None:
    """Remove every kind; what else lies in `folder` stays."""
    for name in KINDS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
