"""Turns: two processes that draw the same picture, one at a time, so that both see one machine.

The process outside holds a `Turns` and gives the leave for each picture after the first; the
observer inside waits for it. Plain files in the folder: they outlive whichever side dies. In a
folder without `turns` nobody waits for anybody. What else the process outside asks for lies there
too: `uncounted` spares a picture the counting of its FLOPs, where they are known.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_MARK = "turns"
_STARTED = "started"
_UNCOUNTED = "uncounted"
#: Between two looks for the leave; whoever waits must not disturb the other, who is measured.
_PAUSE = 0.01


def prepare(folder: Path, *, in_turn: bool, count: bool = True) -> None:
    """Called outside, right before the process is started."""
    folder.mkdir(parents=True, exist_ok=True)
    if in_turn:
        (folder / _MARK).touch()
    if not count:
        (folder / _UNCOUNTED).touch()
    (folder / _STARTED).write_text(repr(time.time()), "utf-8")


def started(folder: Path) -> float | None:
    """When the process was started, as `time.time()` has it; None: nobody wrote it down."""
    try:
        return float((folder / _STARTED).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def counted(folder: Path) -> bool:
    """Whether FLOPs are to be counted; it takes seconds of the first picture's process."""
    return not (folder / _UNCOUNTED).exists()


def give(folder: Path, number: int) -> None:
    """Picture `number` (from 0) may be drawn."""
    _leave(folder, number).touch()


def wait(folder: Path, number: int) -> None:
    """Return when picture `number` may be drawn; the first one always may."""
    if number == 0 or not (folder / _MARK).exists():
        return
    parent = os.getppid()
    while not _leave(folder, number).exists():
        if os.getppid() != parent:
            raise SystemExit("the process that measures this one is gone")
        time.sleep(_PAUSE)


def _leave(folder: Path, number: int) -> Path:
    return folder / f"go-{number}"
