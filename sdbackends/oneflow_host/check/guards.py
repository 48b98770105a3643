"""Whether a lacking name matters where it stands, given what OneFlow has.

What stands under a `hasattr` that is answered with no is never reached, what stands in a `try` is
caught, and an `except` branch runs only where its `try` failed. Guards are judged file by file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdbackends.oneflow_host.check.model import (
    After,
    Condition,
    Default,
    Guard,
    Has,
    Rescue,
    Tried,
    Use,
)

_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """Guarded: it does no harm. Conditions: what has to hold for the line to be reached."""

    guarded: str = ""
    conditions: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For a person: of many conditions the nearest, rather than what some `else` denies."""
        if self.guarded or not self.conditions:
            return self.guarded
        said = [words for words in self.conditions if not words.startswith("not ")]
        return f"only if {_short((said or self.conditions)[-1])}"


class Judge:
    """For one file: its uses, each with the names of torch that it may mean."""

    def __init__(
        self, uses: Sequence[tuple[Use, tuple[str, ...]]], lacking: Mapping[str, str]
    ) -> None:
        self.lacking = lacking
        self.failed = {
            guard.block
            for use, names in uses
            for guard in use.guards
            if isinstance(guard, Tried) and self.lacks(names) and _catches(guard, use)
        }

    def lacks(self, names: Sequence[str]) -> bool:
        return bool(names) and all(name in self.lacking for name in names)

    def verdict(self, use: Use) -> Verdict:
        conditions = []
        for guard in use.guards:
            guarded = self._guarded(guard)
            if guarded:
                return Verdict(guarded=guarded)
            if isinstance(guard, Condition):
                conditions.append(guard.text)
        return Verdict(conditions=tuple(dict.fromkeys(conditions)))

    def _guarded(self, guard: Guard) -> str:
        """Why this guard makes the name harmless, or ""."""
        if isinstance(guard, Has):
            there = guard.name not in self.lacking
            return "" if there == guard.present else f"guarded: asks for {guard.name} first"
        if isinstance(guard, Tried | After):
            return (
                "guarded: its try fails over to another way" if guard.block in self.failed else ""
            )
        if isinstance(guard, Rescue):
            return "" if guard.block in self.failed else "guarded: only if the try before it fails"
        return "guarded: getattr with a default" if isinstance(guard, Default) else ""


def _catches(guard: Tried, use: Use) -> bool:
    return guard.imports if use.way == "import" else guard.attributes


def _short(words: str) -> str:
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 2]} …"
