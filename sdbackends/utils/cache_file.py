"""Files of the cache that several processes write: whole, or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: A half-written file is removed after so many seconds: no write takes that long.
_ABANDONED = 3600.0


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file beside `path` to write, which takes the place of `path` at the end.

    All of it or nothing, also where Ctrl-C comes in between.

    Raises:
        OSError: the folder or the disk does not take it.
    """
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        yield Path(part)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # it has the name of an entry, and nothing can be moved onto it
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed have left half written in `folder`."""
    for part in folder.glob("*.part"):
        with contextlib.suppress(OSError):  # another process removes too
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
