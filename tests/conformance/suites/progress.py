"""One line that says how far a suite is: rewritten on a terminal, once a minute in a log."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType

from tests.conformance.suites.records import Record

_EVERY = 60.0


class Progress:
    """`tell` may be called as often as one likes."""

    def __init__(self, title: str, files: int) -> None:
        self._title, self._files = title, files
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._said = self._began
        self._line = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line:
            sys.stderr.write(f"\r{self._line}\n" if self._terminal else f"{self._line}\n")

    def tell(self, left: int, records: Iterable[Record]) -> None:
        now = time.monotonic()
        self._line = self._words(left, records, now)
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{self._line}")
            sys.stderr.flush()
        elif now - self._said >= _EVERY:
            self._said = now
            print(self._line, file=sys.stderr, flush=True)

    def _words(self, left: int, records: Iterable[Record], now: float) -> str:
        outcomes = Counter(record.outcome for record in records)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        minutes = (now - self._began) / 60
        files = f"{self._files - left}/{self._files} files"
        return f"{self._title}: {files}, {counts or 'no test yet'}, {minutes:.1f} min"
