"""Which `try` goes on where a name of torch is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_IMPORTS = frozenset({"ImportError", "ModuleNotFoundError"})
_ATTRIBUTES = frozenset({"AttributeError"})
_ALL = frozenset({"Exception", "BaseException"})
_ENDS = frozenset({"exit", "quit", "_exit", "abort"})


@dataclass(frozen=True, slots=True)
class Caught:
    """What a `try` catches and survives: a failing import, a missing attribute."""

    imports: bool
    attributes: bool

    def __bool__(self) -> bool:
        return self.imports or self.attributes


def caught(handlers: Sequence[ast.ExceptHandler]) -> Caught:
    """What these `except` branches catch, those aside that end the script or raise again."""
    words: set[str] = set()
    for handler in handlers:
        if not _gives_up(handler.body):
            words.update(_names(handler.type) if handler.type else _ALL)
    return _caught(words)


def suppressed(items: Iterable[ast.withitem]) -> Caught:
    """What `with contextlib.suppress(…)` passes over."""
    words: set[str] = set()
    for item in items:
        call = item.context_expr
        if isinstance(call, ast.Call) and _last_word(call.func) == "suppress":
            for argument in call.args:
                words.update(_names(argument))
    return _caught(words)


def _caught(words: set[str]) -> Caught:
    return Caught(bool(words & (_IMPORTS | _ALL)), bool(words & (_ATTRIBUTES | _ALL)))


def _names(node: ast.expr) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {_last_word(part) for part in parts}


def _last_word(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _gives_up(body: Sequence[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.Raise):
        return True
    call = last.value if isinstance(last, ast.Expr) else None
    return isinstance(call, ast.Call) and _last_word(call.func) in _ENDS
