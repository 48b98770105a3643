"""Tests that are known to fail, one text file for each engine, every line with its reason.

`diffusers-ENGINE.txt` and `transformers-ENGINE.txt` belong to the suites of others
(tests/conformance/suites) and name no test of ours. The lines of `scripts-ENGINE.txt` are for runs
with that engine only.

A line is `TEST-ID-PATTERN  # reason`, where a pattern is a test's id as pytest prints it and `*`
stands for anything. Listed tests are strict xfails: one that starts to pass fails the run, so a
line never outlives its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class KnownFailure:
    """One line: which tests, why, and where the line stands."""

    pattern: str
    reason: str
    where: str

    def names(self, test_id: str) -> bool:
        # Not fnmatch: the brackets of a parametrized id are plain characters here.
        return re.fullmatch(".*".join(map(re.escape, self.pattern.split("*"))), test_id) is not None

    def is_for(self, engines: Iterable[str]) -> bool:
        """Whether a run on `engines` has the tests of this line."""
        file = self.where.partition(":")[0]
        return not file.startswith("scripts-") or file[len("scripts-") : -len(".txt")] in engines


_FOLDER = Path(__file__).parent
_SUITES = ("diffusers-", "opinfo-", "transformers-")


def read_all(folder: Path = _FOLDER) -> list[KnownFailure]:
    """The lines of every `*.txt` in `folder` that is about our own tests."""
    paths = [path for path in sorted(folder.glob("*.txt")) if not path.name.startswith(_SUITES)]
    return [line for path in paths for line in _read(path)]


def of_suite(suite: str, backend: str, folder: Path = _FOLDER) -> list[KnownFailure]:
    """The lines of `SUITE-BACKEND.txt`; none where there is no such file."""
    path = folder / f"{suite}-{backend}.txt"
    return list(_read(path)) if path.exists() else []


def mark(
    items: Sequence[pytest.Item], lines: Iterable[KnownFailure], *, complain_of_unused: bool
) -> None:
    """Make strict xfails of the listed tests.

    Raises:
        pytest.UsageError: a line names none of `items`, and `complain_of_unused` is set.
    """
    for line in lines:
        named = [item for item in items if line.names(item.nodeid)]
        if not named and complain_of_unused:
            raise pytest.UsageError(f"{line.where}: no test has the id {line.pattern!r}")
        for item in named:
            reason = f"{line.where}: {line.reason}"
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _read(path: Path) -> Iterable[KnownFailure]:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        pattern, _, reason = (part.strip() for part in text.partition("#"))
        where = f"{path.name}:{number}"
        if pattern and not reason:
            raise pytest.UsageError(f"{where}: a known failure needs a reason: `{pattern}  # why`")
        if pattern:
            yield KnownFailure(pattern, reason, where)
