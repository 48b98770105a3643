"""Compare the tuples of a model by what is in them.

Dynamo takes a tuple of numbers, texts, lists and sets for a constant and compares it with itself: a
list inside it may change, and the tuple is the same. Here it is compared with a copy.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.guards import GuardBuilder


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    original = GuardBuilder.EQUALS_MATCH

    @functools.wraps(original)
    def equals_match(self: Any, guard: Any, *args: Any, **kwargs: Any) -> None:
        original(self, guard, *args, **kwargs)
        value = self.get(guard)
        if type(value) is tuple and _holds_mutable(value):
            before = copy.deepcopy(value)
            words = f"{guard.name} == {before!r}"
            manager = self.get_guard_manager(guard)
            manager.add_lambda_guard(lambda now: now == before, [words], None)

    yield GuardBuilder, "EQUALS_MATCH", equals_match


def _holds_mutable(value: Any) -> bool:
    if isinstance(value, (list, set)):
        return True
    return isinstance(value, (tuple, frozenset)) and any(map(_holds_mutable, value))
