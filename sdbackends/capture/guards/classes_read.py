"""Guard the classes whose attributes a forward reads.

An attribute that a class has from its own class Dynamo looks up once, and guards neither the class
nor what it found; torch 2.11 does so with every attribute of a class in a closure. With the class
guarded here, `ClassGuard` knows it and its metaclass, and sees what changes in them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.guards import GuardBuilder, install_guard
from torch._dynamo.variables.user_defined import UserDefinedClassVariable


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    original = UserDefinedClassVariable.var_getattr

    @functools.wraps(original)
    def var_getattr(self: Any, tx: Any, name: str) -> Any:
        if self.source:
            install_guard(self.source.make_guard(GuardBuilder.ID_MATCH))
        return original(self, tx, name)

    yield UserDefinedClassVariable, "var_getattr", var_getattr
