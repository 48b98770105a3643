"""What an `if` says about the code below it, as far as that can be read off.

`hasattr` is answered later by the oracle; `is_torch_available()` and its like are answered here, by
whether the package is installed; any other test is kept in its own words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from sdbackends.oneflow_host.check.model import Condition, Guard, Guards, Has

#: `is_torch_available`, `_xformers_available`, … as the libraries name them.
_AVAILABLE = re.compile(r"(?:is_|_)?(\w+?)_available")


@dataclass(frozen=True, slots=True)
class Test:
    """What holds in each branch; None for a branch that is never reached."""

    true: Guards | None
    false: Guards | None

    def flipped(self) -> Test:
        return Test(self.false, self.true)


@dataclass(frozen=True, slots=True)
class Reading:
    """How names in a test are understood; the reader of the file provides it."""

    #: The dotted names that an expression may stand for.
    dotted: Callable[[ast.expr], list[str]]
    #: What is known of a name that was bound to the answer of a `hasattr`.
    flag: Callable[[str], Test | None]
    #: Whether a package is installed; None where the word is no package at all.
    installed: Callable[[str], bool | None]
    #: The words of an expression in the file.
    words: Callable[[ast.expr], str]
    is_script: bool


def read_test(node: ast.expr, reading: Reading) -> Test:
    """What `node`, the test of an `if`, says about both branches."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return read_test(node.operand, reading).flipped()
    if isinstance(node, ast.BoolOp):
        # `TYPE_CHECKING or SLOW_IMPORT`: the branch that lazy packages keep for type checkers.
        if isinstance(node.op, ast.Or) and any(map(_for_type_checkers, node.values)):
            return Test(None, ())
        parts = [read_test(value, reading) for value in node.values]
        if not all(map(_is_open, parts)):
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
    known = _known(node, reading)
    if known is not None:
        return known
    words = reading.words(node)
    return Test((Condition(words),), (Condition(f"not {words}"),))


def _known(node: ast.expr, reading: Reading) -> Test | None:
    if isinstance(node, ast.Constant):
        return Test((), None) if node.value else Test(None, ())
    if _for_type_checkers(node):
        return Test(None, ())
    if isinstance(node, ast.Name):
        return reading.flag(node.id) or _available(node.id, reading)
    if isinstance(node, ast.Call):
        return hasattr_test(node, reading) or _availability_call(node, reading)
    if isinstance(node, ast.Compare) and _asks_for_main(node):
        return Test((), None) if reading.is_script else Test(None, ())
    return None


def _for_type_checkers(node: ast.expr) -> bool:
    word = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return word == "TYPE_CHECKING"


def hasattr_test(node: ast.expr, reading: Reading) -> Test | None:
    """For `hasattr(torch, "x")`: what is known in both branches."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None
    if node.func.id != "hasattr" or len(node.args) != 2:
        return None
    owner, word = node.args
    if not (isinstance(word, ast.Constant) and isinstance(word.value, str)):
        return None
    names = [f"{name}.{word.value}" for name in reading.dotted(owner)]
    if not names:
        return None
    return Test(
        tuple(Has(name, present=True) for name in names),
        tuple(Has(name, present=False) for name in names),
    )


def _availability_call(node: ast.Call, reading: Reading) -> Test | None:
    if node.args or node.keywords:
        return None
    func = node.func
    word = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
    return _available(word, reading)


def _available(word: str, reading: Reading) -> Test | None:
    found = _AVAILABLE.fullmatch(word)
    installed = reading.installed(found[1]) if found else None
    if installed is None:
        return None
    return Test((), None) if installed else Test(None, ())


def _asks_for_main(node: ast.Compare) -> bool:
    """`__name__ == "__main__"`, which is true of the script alone."""
    return (
        isinstance(node.left, ast.Name)
        and node.left.id == "__name__"
        and isinstance(node.ops[0], ast.Eq)
    )


def _is_open(test: Test) -> bool:
    """Whether nothing is known but the words."""
    guards = (*(test.true or ()), *(test.false or ()))
    return None not in (test.true, test.false) and all(
        isinstance(guard, Condition) for guard in guards
    )


def _all(parts: list[Test]) -> Test:
    """The test of `a and b`."""
    true: list[Guard] = []
    for part in parts:
        if part.true is None:
            return Test(None, ())
        true += part.true
    possible = [part.false for part in parts if part.false is not None]
    if not possible:
        return Test(tuple(true), None)
    # With several ways to be false, none of them is certain.
    return Test(tuple(true), possible[0] if len(possible) == 1 else _maybe(possible))


def _any(parts: list[Test]) -> Test:
    """The test of `a or b`: that of `not (not a and not b)`."""
    return _all([part.flipped() for part in parts]).flipped()


def _maybe(possible: list[Guards]) -> Guards:
    words = [guard.text for guards in possible for guard in guards if isinstance(guard, Condition)]
    return (Condition(" or ".join(words) or "a hasattr says so"),)
