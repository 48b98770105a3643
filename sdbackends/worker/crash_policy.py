"""When a worker that dies is not started again.

A death is charged to the program (by its graph) whose build or call it ended, and made good when
that program runs well afterwards. A death at the start, or one that was found when nothing was
asked, is charged to nobody and made good by any program. With three deaths not made good the
worker stays down.
"""

from __future__ import annotations

MAX_DEATHS = 3
NOBODY = ""


class CrashPolicy:
    """The deaths of one worker that were not made good."""

    def __init__(self) -> None:
        self._charged: dict[str, int] = {}
        #: Why it died the last time, in words.
        self.last_reason = ""

    def charge(self, culprit: str, reason: str) -> None:
        self._charged[culprit] = self._charged.get(culprit, 0) + 1
        self.last_reason = reason

    def make_good(self, culprit: str) -> None:
        """`culprit` ran well."""
        self._charged.pop(culprit, None)
        self._charged.pop(NOBODY, None)

    @property
    def count(self) -> int:
        return sum(self._charged.values())

    @property
    def too_many(self) -> bool:
        return self.count >= MAX_DEATHS
