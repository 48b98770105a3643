"""Runs the items: building beside each other, measuring one at a time, all within the seconds.

Nobody measures while somebody else measures. Who builds uses processors, and the device for
moments; figures that were taken meanwhile say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from first_run import process
from first_run.items import Item
from first_run.journal import Journal
from first_run.logs import Logs
from first_run.process import Places, Running

_PAUSE = 0.1
#: An item is not begun with fewer seconds than these left.
_TOO_SHORT = 5.0


@dataclass
class Runner:
    """What is asked for.

    Attributes:
        until: when all has to be over, as `time.monotonic()` has it.
        builders: so many build at one time.
        alive: so many processes that have built wait at one time, for the memory's sake.
        planted: item -> the failure that is planted in it.
        ended: called after each item.
    """

    items: Sequence[Item]
    places: Places
    journal: Journal
    logs: Logs
    env: Mapping[str, str]
    until: float
    builders: int
    alive: int
    rehearsal: bool
    planted: Mapping[str, str] = field(default_factory=dict)
    ended: Callable[[], None] = lambda: None
    outcomes: dict[str, str] = field(default_factory=dict)
    _building: dict[str, Running] = field(default_factory=dict)
    _measuring: Running | None = None

    def run(self) -> None:
        """Until everything is done, or the time is over."""
        try:
            while time.monotonic() < self.until and self._left():
                self._see_to_builds()
                self._see_to_the_device()
                time.sleep(_PAUSE)
        finally:
            left = [*self._building.values(), *filter(None, [self._measuring])]
            process.end_all(left)
            for running in left:
                self._note(running, "cut-off", "the time was over")

    def _left(self) -> bool:
        return len(self.outcomes) < len(self.items)

    def _see_to_builds(self) -> None:
        for name, running in list(self._building.items()):
            limit = self._item(name).build_seconds
            if running.code() is not None:
                self._ended(running)
            elif not self._is_ready(name) and time.monotonic() - running.began > limit:
                self._over(running, "slow", f"building took more than its limit of {limit:g} s")
        for item in self.items:
            waiting = [one for one in self._building if self._is_ready(one)]
            busy = len(self._building) - len(waiting)
            if busy >= self.builders or len(self._building) >= self.alive:
                return
            if item.build_seconds and self._is_new(item) and self._has_time():
                self._building[item.name] = self._start(item)

    def _see_to_the_device(self) -> None:
        running = self._measuring
        if running is not None:
            limit = self._item(running.name).seconds
            assert running.turn is not None
            if running.code() is not None:
                self._ended(running)
            elif time.monotonic() - running.turn > limit:
                self._over(running, "slow", f"it took more than its limit of {limit:g} s")
        if self._measuring is None and self._has_time():
            self._measuring = self._next()
            if self._measuring is not None:
                self._measuring.turn = time.monotonic()

    def _next(self) -> Running | None:
        """The most telling item that can measure now."""
        for item in self.items:
            if item.name in self._building and self._is_ready(item.name):
                (self.places.barrier / f"{item.name}.go").touch()
                return self._building.pop(item.name)
            if not item.build_seconds and self._is_new(item):
                return self._start(item)
        return None

    def _start(self, item: Item) -> Running:
        return process.start(
            item,
            self.places,
            self.env,
            self.logs,
            planted=self.planted.get(item.name, ""),
            rehearsal=self.rehearsal,
        )

    def _ended(self, running: Running) -> None:
        code = running.code()
        if code == 0:
            self._note(running, "ok")
        elif code is not None and code < 0:
            self._note(running, "failed", f"signal {-code}")
        else:
            self._note(running, "failed", f"exit code {code}")

    def _over(self, running: Running, outcome: str, why: str) -> None:
        running.end()
        self._note(running, outcome, why)

    def _note(self, running: Running, outcome: str, why: str = "") -> None:
        self._building.pop(running.name, None)
        if self._measuring is running:
            self._measuring = None
        now = time.monotonic()
        line: dict[str, object] = {"item": running.name, "outcome": outcome}
        line |= {"seconds": round(now - running.began, 1), "log": self.logs.path.name}
        if running.turn is not None:
            line["measuring"] = round(now - running.turn, 1)
        if self._building:
            line["beside"] = sorted(n for n in self._building if not self._is_ready(n))
        if why:
            line["where"] = why
        self.outcomes[running.name] = outcome
        self.journal.add(**line)
        print(f"{outcome:<8} {line['seconds']:>7} s  {running.name}  {why}", flush=True)
        self.ended()

    def _is_new(self, item: Item) -> bool:
        measuring = self._measuring.name if self._measuring else ""
        return item.name not in (*self.outcomes, *self._building, measuring)

    def _is_ready(self, name: str) -> bool:
        return (self.places.barrier / f"{name}.ready").exists()

    def _has_time(self) -> bool:
        return self.until - time.monotonic() > _TOO_SHORT

    def _item(self, name: str) -> Item:
        return next(item for item in self.items if item.name == name)
