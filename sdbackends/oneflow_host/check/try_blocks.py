"""Which `try` goes on where a name of torch is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_IMPORTS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_ATTRIBUTES = frozenset({"AttributeError", "Exception", "BaseException"})
_ENDS = frozenset({"exit", "quit", "_exit", "abort"})


@dataclass(slots=True)
class Attempt:
    """What a `try` catches and survives: a failing import, a missing attribute."""

    imports: bool
    attributes: bool
    #: Whether something in it is lacking: what follows there is not reached.
    failed: bool = False


def caught(handlers: Sequence[ast.ExceptHandler]) -> Attempt:
    """By these `except` branches, those aside that end the script or raise again."""
    words: set[str] = set()
    for handler in handlers:
        if not _gives_up(handler.body):
            words |= _names(handler.type) if handler.type else {"BaseException"}
    return _attempt(words)


def suppressed(items: Iterable[ast.withitem]) -> Attempt:
    """By `with contextlib.suppress(…)`."""
    words: set[str] = set()
    for item in items:
        match item.context_expr:
            case ast.Call(func=func, args=arguments) if _names(func) == {"suppress"}:
                words.update(*map(_names, arguments))
    return _attempt(words)


def _attempt(words: set[str]) -> Attempt:
    return Attempt(bool(words & _IMPORTS), bool(words & _ATTRIBUTES))


def _names(node: ast.expr) -> set[str]:
    """The last word of `contextlib.suppress`; of each part of a tuple."""
    match node:
        case ast.Tuple(elts=parts):
            return set().union(*map(_names, parts))
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return {word}
    return set()


def _gives_up(body: Sequence[ast.stmt]) -> bool:
    match body[-1]:
        case ast.Raise():
            return True
        case ast.Expr(value=ast.Call(func=func)):
            return not _names(func).isdisjoint(_ENDS)
    return False
