"""Where inductor keeps its programs: a folder of the cache, or one that ends with the process.

Inductor cannot do without a folder, and its own default lies at a place that every user of the
machine can make first. So where the cache gives none, or can no longer be written (a full disk),
there is a temporary one.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from sdbackends import log

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
#: About what a compiled graph takes: a disk is full where this does not fit.
_PROGRAM = 1 << 20


class ProgramFolder:
    """Inductor's folder is ours until `close`, unless the user chose one for it.

    `folder` is that of the cache; None: programs are not kept.
    """

    def __init__(self, folder: Path | None) -> None:
        from torch._inductor.runtime.cache_dir_utils import default_cache_dir

        self._before = os.environ.get(_VARIABLE)
        # Importing inductor writes its default there, which nobody chose.
        self._ours = self._before in (None, os.path.abspath(default_cache_dir()))
        self._folder = folder
        if self._ours:
            os.environ[_VARIABLE] = str(folder or _temporary())

    def replace_full(self) -> bool:
        """Whether the folder cannot be written, and a temporary one has taken its place."""
        if not self._ours or self._folder is None:
            return False
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(bytes(_PROGRAM))
            return False
        except OSError as error:
            log.warn_once(
                ("cache", str(self._folder)),
                f"compiled programs cannot be kept in {self._folder}: {error.strerror}\n"
                "  fix: set SD_CACHE_DIR to a folder of your own that can be written",
            )
        from torch._inductor.utils import clear_caches

        self._folder = None
        os.environ[_VARIABLE] = str(_temporary())
        clear_caches()  # inductor remembers what it could write only in part
        return True

    def close(self) -> None:
        if not self._ours:
            return
        self._ours = False
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before


@functools.cache
def _temporary() -> Path:
    """One for the process: inductor remembers what it wrote there, engine after engine."""
    folder = tempfile.mkdtemp(prefix="sdbackends-")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked child's end is not the end
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Path(folder)
