"""What became of each test: one JSON line for each, written while the suite runs.

The plugin inside the suite's process (`plugin/sd_suite.py`, which knows only the keys) appends one
when a test begins and one when it ends. A test that never ended took its process with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["passed", "failed", "skipped", "xfailed", "crashed", "hung"]
PASSED = ("passed", "xfailed")
#: How the models of a test ran: on the engine; on eager torch because the engine could not;
#: on eager torch because they were trained or wrote text; or the test called no model at all.
Way = Literal["engine", "fallback", "by design", "no model"]


@dataclass(frozen=True)
class Record:
    """One test.

    Attributes:
        why: the last line of its error, or the reason of its skip.
        engine: calls of models that an engine answered.
        fallback: reasons why calls fell back to eager torch, with how many.
        by_design: reasons why calls never went to an engine, with how many.
    """

    id: str
    outcome: Outcome
    seconds: float = 0.0
    why: str = ""
    engine: int = 0
    fallback: dict[str, int] = field(default_factory=dict)
    by_design: dict[str, int] = field(default_factory=dict)

    @property
    def way(self) -> Way:
        if self.fallback:
            return "fallback"
        if self.engine:
            return "engine"
        return "by design" if self.by_design else "no model"


@dataclass
class Journal:
    """The records in one file, as far as they have come."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal at `path`, empty where there is none."""
        journal = cls(path)
        for line in _lines(path):
            if "file" in line:
                journal.files.add(line["file"])
            elif "outcome" in line:
                record = Record(**line)
                journal.records[record.id] = record
        return journal

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.records[record.id] = record
            self._append({**vars(record)})

    def drop_failures(self) -> None:
        """Forget the failures, and that their files are done."""
        for record in [r for r in self.records.values() if r.outcome not in PASSED]:
            del self.records[record.id]
            self.files.discard(record.id.partition("::")[0])
        self.path.unlink(missing_ok=True)
        for record in self.records.values():
            self._append({**vars(record)})
        for file in self.files:
            self._append({"file": file})

    def finish(self, file: str) -> None:
        """Every test of this file has a record."""
        self.files.add(file)
        self._append({"file": file})

    def _append(self, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def of_process(path: Path) -> tuple[list[Record], str | None]:
    """The records that one process of the suite wrote, and the test that it was in at its end."""
    records: list[Record] = []
    began: str | None = None
    for line in _lines(path):
        if "outcome" in line:
            records.append(Record(**line))
            began = None
        else:
            began = line["began"]
    return records, began


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue  # the process was killed while it wrote this line
