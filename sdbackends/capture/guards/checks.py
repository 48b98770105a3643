"""Guards of our own: what a program depends on, asked in Python before each of its calls.

They run after Dynamo's guards have passed, a fraction of a microsecond each. Where Dynamo has a
guard for something, that is the one to install.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

from torch._dynamo.guards import install_guard
from torch._dynamo.source import is_from_skip_guard_source
from torch._guards import Source


def check_value(source: Source, check: Callable[[Any], bool], words: str) -> None:
    """Depend on `check` of the value at `source`; `words` says what it asks."""
    install_guard(source.make_guard(functools.partial(_value, check=check, words=words)))


def check_text(source: Source, text: str, *others: Source) -> None:
    """Depend on an expression over the names of sources (`source` and `others`)."""
    if not any(map(is_from_skip_guard_source, others)):
        install_guard(source.make_guard(functools.partial(_text, text=text)))


def first_time(output: Any, what: Hashable) -> bool:
    """Whether `what` was not asked before in this trace (`output`: Dynamo's `OutputGraph`)."""
    seen: set[Hashable] = vars(output).setdefault("_sdbackends_checks", set())
    if what in seen:
        return False
    seen.add(what)
    return True


def _value(builder: Any, guard: Any, *, check: Callable[[Any], bool], words: str) -> None:
    builder.get_guard_manager(guard).add_lambda_guard(check, [words], None)


def _text(builder: Any, guard: Any, *, text: str) -> None:
    # Dynamo joins these in one function, with its own that say of two sources that they are one.
    part = (text, text)
    if part not in builder.object_aliasing_guard_codes:
        builder.object_aliasing_guard_codes.append(part)
