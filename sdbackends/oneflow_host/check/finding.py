"""What a check finds: a name that OneFlow lacks, in one line of one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: own: the script needs it there. guarded: a hasattr, a default or a try sees to it.
Weight = Literal["own", "guarded"]


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    file: Path
    line: int
    why: str
    weight: Weight
    module: str
    #: None: the line runs as soon as the module does.
    function: str | None
    #: What it takes to get there, in words.
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that cannot be checked."""

    file: Path
    line: int
    words: str
