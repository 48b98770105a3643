"""The bounded run: each overload's witnesses, run on one engine when a test first asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sdbackends.engines.base import GraphEngine
from tests.conformance.known_failures import KnownFailure
from tests.conformance.opinfo import witnesses
from tests.conformance.opinfo.database import named
from tests.conformance.opinfo.suite import TOGETHER, Outcome, run, unexpected


class Bounded:
    """Outcomes by overload, in programs of many overloads each."""

    def __init__(self, engine: GraphEngine, dtypes: Collection[str]) -> None:
        self.engine = engine
        self.queue = {
            overload: [name for name in names if name.split("/")[1] in dtypes]
            for overload, names in witnesses.read().items()
        }
        self.done: dict[str, Outcome | None] = {}

    def complaints(self, overload: str, known: Sequence[KnownFailure]) -> list[str]:
        """What is wrong with the overload's samples, or with the choice of them."""
        names = self.queue[overload]
        if any(name not in self.done for name in names):
            self._run(overload)
        outcomes = [one for name in names if (one := self.done[name]) is not None]
        if not any(overload in one.ops for one in outcomes):
            again = "python -m tests.conformance.opinfo.trace"
            return [f"no sample has {overload} any more: run `{again}`"]
        return unexpected(outcomes, known)

    def _run(self, first: str) -> None:
        """The samples from that overload on that are still to be done, one program full."""
        names: dict[str, None] = {}
        for some in list(self.queue.values())[list(self.queue).index(first) :]:
            new = [name for name in some if name not in self.done]
            if not names or len(names) + len(new) <= TOGETHER:
                names.update(dict.fromkeys(new))
        self.done.update(dict.fromkeys(names))
        for outcome in run(self.engine, named(list(names))):
            self.done[outcome.sample] = outcome
