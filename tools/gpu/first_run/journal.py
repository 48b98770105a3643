"""The results file of a first run: one JSON object a line, appended as soon as it is known.

A line is written with one call at the file's end, by the command and by the processes of its items
alike. Whoever kills them costs at most the line that was being written, and reading passes it by.
Each run begins with a line of its own that says what it was made with; an earlier file that is
gone on with stands before it as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]
#: Of the line that begins a run, what results of two runs must share to stand for each other.
SAME = ("commit", "driver", "gpu", "rehearsal")


class Journal:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, **line: Any) -> None:
        text = json.dumps(line, default=str, ensure_ascii=False)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)

    def go_on_with(self, earlier: Path) -> None:
        """Begin with what another file holds, less a line that was cut off."""
        for line in read(earlier):
            self.add(**line)


def read(path: Path) -> list[dict[str, Any]]:
    """Every whole line of the file."""
    found = []
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def done(lines: list[dict[str, Any]], now: Line) -> set[str]:
    """The items that ended well in runs which were made with the same as `now`."""
    found, same = set(), False
    for line in lines:
        if "run" in line:
            same = all(line["run"].get(name) == now.get(name) for name in SAME)
        elif same and line.get("outcome") == "ok":
            found.add(str(line["item"]))
    return found


def table(lines: list[dict[str, Any]]) -> Iterator[str]:
    """The file for a reader: a line for each run and outcome, and the figures below it."""
    for line in lines:
        if "run" in line:
            yield " ".join(f"{name}={value}" for name, value in line["run"].items())
        elif "outcome" in line:
            where = f"  {line['where']}" if line.get("where") else ""
            yield f"{line['outcome']:<8} {line['seconds']:7.1f} s  {line['item']}{where}"
        elif "error" in line:
            last = (str(line["error"]).strip().splitlines() or [""])[-1]
            yield f"         {line['item']}: {last[:300]}"
        else:
            figures = {k: v for k, v in line.items() if k not in ("item", "at")}
            yield f"         {line['item']}: {json.dumps(figures, ensure_ascii=False)[:400]}"
