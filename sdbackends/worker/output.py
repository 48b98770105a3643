"""What a worker prints on stdout and stderr: kept in memory, the end of it only.

It is memory without a name that the worker appends to, so nobody has to read along, the worker
never waits for a reader, and nothing of it reaches the user but the last words in an error.
"""

from __future__ import annotations

import fcntl
import os

from sdbackends.worker.native_errors import last_lines

_LIMIT = 256 * 1024
_KEPT = 8 * 1024


class Output:
    """The output of one process."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("sdbackends-output", os.MFD_CLOEXEC)
        # The worker goes on at the new end when the memory is cut.
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
        self._mark = 0

    def fileno(self) -> int:
        return self._descriptor

    def mark(self) -> None:
        """From here on it is about the next request; what is long past is cut."""
        if self._size() > _LIMIT:
            os.ftruncate(self._descriptor, 0)
        self._mark = self._size()

    def trim(self) -> None:
        """Keep the end alone, while one request prints and prints."""
        if self._size() - self._mark > _LIMIT:
            end = self._end()
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, end)
            self._mark = 0

    def last_words(self) -> str:
        """The last lines since `mark` that say something; "" if there are none."""
        return last_lines(self._end().decode(errors="replace"))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def _end(self) -> bytes:
        size = self._size()
        return os.pread(self._descriptor, _KEPT, max(self._mark, size - _KEPT))
