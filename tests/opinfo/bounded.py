"""The bounded run: each overload's witnesses, run on one engine when a test first asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sdbackends.engines.base import GraphEngine
from tests.known_failures import KnownFailure
from tests.opinfo import witnesses
from tests.opinfo.database import named
from tests.opinfo.suite import TOGETHER, Outcome, run, unexpected
from tests.opinfo.tracing import Way


class Bounded:
    """Outcomes by overload, in programs of many overloads each."""

    def __init__(self, engine: GraphEngine, dtypes: Collection[str]) -> None:
        self.engine = engine
        self.queue: list[tuple[str, Way, list[str]]] = [
            (one.overload, one.way, [n for n in one.samples if n.split("/")[1] in dtypes])
            for one in sorted(witnesses.read().values(), key=lambda one: one.way)
        ]
        self.done: dict[tuple[Way, str], Outcome | None] = {}

    def complaints(self, overload: str, known: Sequence[KnownFailure]) -> list[str]:
        """What is wrong with the overload's samples, or with the choice of them."""
        place = next(i for i, (name, _, _) in enumerate(self.queue) if name == overload)
        _, way, names = self.queue[place]
        if any((way, name) not in self.done for name in names):
            self._run(place)
        outcomes = [one for name in names if (one := self.done[way, name]) is not None]
        if not any(overload in one.ops for one in outcomes):
            return [f"no sample has {overload} any more: run `python -m tests.opinfo.trace`"]
        return unexpected(outcomes, known)

    def _run(self, place: int) -> None:
        """The samples from there on that are still to be done, one program full."""
        way = self.queue[place][1]
        names: dict[str, None] = {}
        for _, other, some in self.queue[place:]:
            new = [name for name in some if (other, name) not in self.done]
            if other == way and (not names or len(names) + len(new) <= TOGETHER):
                names.update(dict.fromkeys(new))
        self.done.update({(way, name): None for name in names})
        for outcome in run(self.engine, named(list(names)), way):
            self.done[way, outcome.sample] = outcome
