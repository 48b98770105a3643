"""The fenced blocks of a document.

```` ```python NAME ```` is a file, ```` ```diff NAME ```` a change of one, and ```` ```sh ```` is
commands.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = {"sdbackends": [sys.executable, "-m", "sdbackends"], "python": [sys.executable]}


@dataclass(frozen=True)
class Block:
    """One fenced block; `name` is the file that its text belongs to, "" if it has none."""

    language: str
    name: str
    text: str

    @property
    def commands(self) -> list[str]:
        return self.text.splitlines() if self.language == "sh" else []


def blocks(document: str) -> list[Block]:
    text = (ROOT / "docs" / document).read_text("utf-8")
    return [Block(*found) for found in _FENCE.findall(text)]


def write(block: Block, folder: Path) -> None:
    """Into the file of that name: at its end, where there is one already."""
    with (folder / block.name).open("a", encoding="utf-8") as file:
        file.write("\n\n" + block.text if file.tell() else block.text)


def write_named(document: str, folder: Path) -> None:
    """Write every file that the document shows."""
    for block in blocks(document):
        if block.name:
            write(block, folder)


def change(block: Block, folder: Path) -> None:
    """In the file of that name, replace the one place that the lines of the diff are of."""
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    path = folder / block.name
    text = path.read_text("utf-8")
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after), "utf-8")


def follow(
    command: str, folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of a document in `folder`, which comes first on the path of its Python."""
    program, *words = shlex.split(command)
    path = os.pathsep.join(map(str, (folder, ROOT)))
    return subprocess.run(
        [*_PROGRAMS[program], *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=500,
    )
