"""What an exception says, in words. Its text is made by its own code, which may fail as well."""

from __future__ import annotations

#: An error that wraps itself has no end.
_WRAPPERS = 10


def text_of(error: BaseException) -> str:
    """All of its text; "" where it has none, or none can be had."""
    try:
        return str(error)
    except Exception:
        return ""


def in_all_words(error: BaseException) -> str:
    """Its kind and all of its text."""
    return f"{type(error).__name__}: {text_of(error).strip() or 'no message'}"


def in_words(error: BaseException) -> str:
    """Its kind and the first line of its text; of one that wraps another, the other's.

    torch wraps what a compiler raises, and says in the first line no more than that it did.
    """
    for _ in range(_WRAPPERS):
        inner = getattr(error, "inner_exception", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    lines = text_of(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"
