"""The settings in force: those of the innermost session, or none.

A session pushes its settings and takes them away again; what stands in torch's place asks for them
here, and so need not know what a session is.
"""

from __future__ import annotations

from sdbackends.settings import Settings

_stack: list[Settings] = []


def current() -> Settings | None:
    return _stack[-1] if _stack else None


def push(settings: Settings) -> None:
    _stack.append(settings)


def remove(settings: Settings) -> None:
    """Take away the innermost of these settings."""
    for at in reversed(range(len(_stack))):
        if _stack[at] is settings:
            del _stack[at]
            return
