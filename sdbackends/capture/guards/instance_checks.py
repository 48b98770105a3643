"""Guard what a class answers when it is asked whether something is an instance of it.

`isinstance(thing, kind)` asks the class of `kind`, which may answer otherwise at a later call:
after `kind.register(...)` of an abstract class, or because it has an `__instancecheck__` of its
own. Dynamo keeps the answer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.variables.builtin import BuiltinVariable

from sdbackends.capture.guards.checks import check_value


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    for name, ask in (("call_isinstance", isinstance), ("call_issubclass", issubclass)):
        yield BuiltinVariable, name, _guarded(vars(BuiltinVariable)[name], ask)


def _guarded(original: Any, ask: Any) -> Any:
    @functools.wraps(original)
    def call(self: Any, tx: Any, thing: Any, kinds: Any) -> Any:
        answer = original(self, tx, thing, kinds)
        if thing.source and answer.is_python_constant() and kinds.is_python_constant():
            asked, before = kinds.as_python_constant(), answer.as_python_constant()
            if _may_change(asked) and not _is_fixed(thing):
                check_value(
                    thing.source,
                    lambda value: ask(value, asked) == before,
                    f"{ask.__name__}({thing.source.name}, {asked}) is {before}",
                )
        return answer

    return call


def _may_change(asked: Any) -> bool:
    """Whether a class among them has a say of its own."""
    if isinstance(asked, tuple):
        return any(map(_may_change, asked))
    checks = ("__instancecheck__", "__subclasscheck__")
    return isinstance(asked, type) and any(
        getattr(type(asked), check) is not getattr(type, check) for check in checks
    )


def _is_fixed(thing: Any) -> bool:
    """Values of Python's own and of torch's classes are what they are."""
    try:
        home = thing.python_type().__module__
    except NotImplementedError:
        return True
    return home.partition(".")[0] in ("builtins", "torch")
