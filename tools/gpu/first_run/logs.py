"""All that the items print, whole and at once, in few files.

Where such a command runs only a handful of files may come back, so the items share them: each line
has its item's name before it (`grep '^sd15-jax|' logs-1.txt`). A file that is full is followed by
another one.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

#: Bytes; files beyond 16 MiB may be left behind.
_FULL = 15 * 2**20
#: Of a line without an end, such as a progress bar's, so much is kept back at most.
_LONGEST = 65536


class Logs:
    """Files logs-1.txt, logs-2.txt, … in a folder."""

    def __init__(self, folder: Path, full: int = _FULL) -> None:
        self._folder, self._full = folder, full
        self._number = 1
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        return self._folder / f"logs-{self._number}.txt"

    def follow(self, name: str, pipe: BinaryIO) -> threading.Thread:
        """Write down what comes out of the pipe, until its end."""
        thread = threading.Thread(target=self._follow, args=(name, pipe), daemon=True)
        thread.start()
        return thread

    def write(self, name: str, line: bytes) -> None:
        text = name.encode() + b"| " + line.rstrip(b"\n") + b"\n"
        with self._lock:
            if self.path.exists() and self.path.stat().st_size + len(text) > self._full:
                self._number += 1
            with self.path.open("ab") as file:
                file.write(text)

    def _follow(self, name: str, pipe: BinaryIO) -> None:
        with pipe:
            while line := pipe.readline(_LONGEST):
                self.write(name, line)
