"""Placeholders for names that torch has and the OneFlow host lacks.

A mention of such a name (`torch.fft.fftn` in an annotation, a default, a base class) gives an
`Absent`, so that libraries which only speak of it still import. Whatever else is done with it
raises `MissingOnHostError`. A question (`hasattr`, `getattr`) never sees an `Absent`: `asked` tells
the two apart by the instruction that the caller executes.
"""

from __future__ import annotations

import functools
import sys
import typing
from opcode import EXTENDED_ARG, opname
from types import CodeType, FrameType, FunctionType
from typing import Any, Literal, NoReturn

from sdbackends.errors import SdError

_INSTRUCTIONS: dict[str, Literal["mention", "import"]] = {
    "LOAD_ATTR": "mention",
    "LOAD_METHOD": "mention",
    "IMPORT_FROM": "import",
}


class MissingOnHostError(SdError, AttributeError):
    """A name of torch that is not there on the OneFlow host was used.

    An `AttributeError` too: a script that guards itself against an older torch is served as well.
    """


def missing(dotted: str, why: str) -> MissingOnHostError:
    """The one message, wherever a missing name is used."""
    return MissingOnHostError(
        f"{dotted} is not there on the OneFlow host",
        why=why,
        fix=(
            "`sd-mock --check your_script.py` lists every such name; a backend other than "
            "oneflow-host runs the script on torch itself"
        ),
    )


class Absent:
    """Stands for one missing name; good for mentioning it, for nothing else."""

    def __init__(self, dotted: str, why: str) -> None:
        self._dotted, self._why = dotted, why
        self.__module__, _, self.__name__ = dotted.rpartition(".")
        self.__qualname__ = self.__name__

    def __repr__(self) -> str:
        return f"<{self._dotted}, which is not there on the OneFlow host>"

    def __getattr__(self, name: str) -> Any:
        dotted = f"{self._dotted}.{name}"
        if name.startswith("__") or asked(name, sys._getframe(1)) == "question":
            raise missing(dotted, self._why)
        return Absent(dotted, self._why)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], FunctionType):
            return self._decorated(args[0])
        if len(args) == 1 and not kwargs and isinstance(args[0], type):
            return self._refusing(args[0].__name__, (args[0],), args[0].__module__)
        self._raise()

    # What an annotation does with a class.
    def __getitem__(self, _: Any) -> Absent:
        return self

    def __or__(self, other: Any) -> Any:
        return typing.Union[self, other]  # noqa: UP007  (an Absent is no type for `|`)

    def __ror__(self, other: Any) -> Any:
        return typing.Union[other, self]  # noqa: UP007

    # Nothing is an instance of what does not exist.
    def __instancecheck__(self, _: Any) -> bool:
        return False

    def __subclasscheck__(self, _: Any) -> bool:
        return False

    def __mro_entries__(self, _: tuple[Any, ...]) -> tuple[type, ...]:
        """`class Mine(torch.missing)` is defined; making one of it raises."""
        return (self._refusing(self.__name__, (), self.__module__),)

    def _refusing(self, name: str, bases: tuple[type, ...], module: str) -> type:
        return type(name, bases, {"__new__": self._raise, "__module__": module})

    def _raise(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise missing(self._dotted, self._why)

    def _decorated(self, function: FunctionType) -> Any:
        """Defined, as a name in front of it asks; calling it is the use."""

        @functools.wraps(function)
        def raise_when_called(*args: Any, **kwargs: Any) -> NoReturn:
            self._raise()

        return raise_when_called

    __bool__ = __len__ = __iter__ = __enter__ = __exit__ = __int__ = __float__ = __index__ = _raise
    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __sub__ = __mul__ = __truediv__ = _raise


def asked(name: str, frame: FrameType) -> Literal["mention", "import", "question"]:
    """How the instruction that `frame` executes asks for `name`.

    `x.name` is LOAD_ATTR or LOAD_METHOD with that name, `from x import name` is IMPORT_FROM. All
    else is a question: a call of `hasattr` or `getattr`, or C code.
    """
    code, at = frame.f_code, frame.f_lasti
    kind = _INSTRUCTIONS.get(opname[code.co_code[at]]) if at >= 0 else None
    return kind if kind is not None and code.co_names[_argument(code, at)] == name else "question"


def _argument(code: CodeType, at: int) -> int:
    """The argument of the instruction at `at`, with what EXTENDED_ARG put in front of it."""
    value, shift = code.co_code[at + 1], 8
    while at >= 2 and code.co_code[at - 2] == EXTENDED_ARG:
        at -= 2
        value |= code.co_code[at + 1] << shift
        shift += 8
    return value
