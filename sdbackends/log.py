"""The lines that sdbackends writes on stderr: one style, one place, each warning once.

`SD_LOG=quiet` silences notes (`note`), never warnings (`warn`); `SD_LOG=debug` adds details.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Hashable

from sdbackends.settings import LogLevel

_PREFIX = "sdbackends: "
_level: list[LogLevel] = ["info"]
_said: set[Hashable] = set()


def set_level(level: LogLevel) -> LogLevel:
    """Choose what is written from now on; returns the level before."""
    before, _level[0] = _level[0], level
    return before


def note(text: str) -> None:
    """Something that the user likes to know: a model was built, a choice was made."""
    if _level[0] != "quiet":
        _write(text)


def is_debug() -> bool:
    return _level[0] == "debug"


def debug(text: str) -> None:
    if _level[0] == "debug":
        _write(text)


def warn(text: str) -> None:
    """Something that the user must know; written at every level."""
    _write(text)


def warn_once(key: Hashable, text: str) -> None:
    """`warn`, the first time that this key comes."""
    if key not in _said:
        _said.add(key)
        warn(text)


def forget() -> None:
    """Let every `warn_once` speak again (a new activation is a new story)."""
    _said.clear()


def _write(text: str) -> None:
    if sys.stderr is None:  # the script was started with `2>&-`
        return
    # A line that cannot be written is no reason to stop: a full disk, a reader who has gone.
    with contextlib.suppress(OSError, ValueError):
        # One write call, so that lines of several processes do not mix.
        sys.stderr.write("".join(f"{_PREFIX}{line}\n" for line in text.splitlines()))
        sys.stderr.flush()
