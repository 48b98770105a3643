"""What a command writes, where stdout is closed (`>&-`) or takes nothing (`>/dev/full`)."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

#: What a write says where nothing more can be written, whoever is at fault.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)


def open_closed() -> None:
    """Where the shell has closed stdout, put something there that fails when it is written to.

    Left free, its number would go to the next file that is opened, and a child that writes to its
    stdout would write into that file.
    """
    if sys.stdout is None:
        # Not inheritable: a script that takes this process's place finds what the shell gave.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")


def failed(name: str, message: str, code: int) -> int:
    """Say why the command `name` ends; its exit code."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{name}: {message}\n")
    return code


def finish(name: str, code: str | int | None) -> str | int | None:
    """The exit code, when what was written has been sent on its way."""
    why = _flush()
    # A reader who has gone (`| head`) knows why.
    if why is not None and not code and why.errno != errno.EPIPE:
        return failed(name, f"cannot write to stdout: {why.strerror}", 1)
    return code or (1 if why is not None else code)


def try_to_write(text: str) -> None:
    """Write what is of no use to anybody where it cannot be written."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
    _flush()


def _flush() -> OSError | None:
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return error
    return None
