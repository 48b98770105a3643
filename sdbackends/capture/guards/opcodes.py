"""Stand around an instruction of Python while Dynamo traces it."""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch._dynamo.symbolic_convert import InstructionTranslatorBase

#: Dynamo's translator of a frame, the instruction, and what Dynamo does for it.
Wrapper = Callable[[Any, Any, Callable[[Any, Any], None]], None]


def wrapped(name: str, wrapper: Wrapper) -> Iterator[tuple[Any, str, Any]]:
    """The changes that put `wrapper` around one instruction, in every translator of Dynamo's."""
    number = dis.opmap[name]
    for kind in _kinds(InstructionTranslatorBase):
        table = list(vars(kind).get("dispatch_table") or ())
        if table:
            table[number] = _around(table[number], wrapper)
            yield kind, "dispatch_table", table


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _around(original: Callable[[Any, Any], None], wrapper: Wrapper) -> Callable[[Any, Any], None]:
    @functools.wraps(original)
    def instruction(translator: Any, inst: Any) -> None:
        wrapper(translator, inst, original)

    return instruction
