"""Which cases there are: functions of `cases/KIND.py` under `@case`.

`every_case` reads the files' text and imports none of them, so that pytest collects without torch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """One function of `cases/KIND.py`, and what its decorator says of it."""

    kind: str
    name: str
    #: Eager torch is right here by design (gradients, transforms, modes): a fallback is no error.
    falls_back: bool = False
    #: Runs in a process of its own (threads, forks).
    alone: bool = False
    #: Runs on the engines that take long to build a program, too.
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def case(
    function: Callable[[], Any] | None = None,
    *,
    falls_back: bool = False,
    alone: bool = False,
    compiled: bool = False,
) -> Any:
    """Mark a function as a case. The arguments are literals: `every_case` reads them as text.

    It takes nothing, and returns what a script could print: str, int, float, bool, None, tensors,
    and tuples, lists or dicts of those. What it patches it restores.
    """
    return function if function is not None else lambda marked: marked


def every_case(folder: Path = FOLDER) -> list[Case]:
    """All cases, in the order of the files and of the functions in them."""
    paths = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    return [found for path in paths for found in _read(path)]


def _read(path: Path) -> Iterator[Case]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            called = mark.func if isinstance(mark, ast.Call) else mark
            if isinstance(called, ast.Name) and called.id == "case":
                words = mark.keywords if isinstance(mark, ast.Call) else []
                options = {str(word.arg): ast.literal_eval(word.value) for word in words}
                yield Case(path.stem, node.name, **options)
