"""Guard the attributes of an empty dict of the script's own class.

Dynamo's guard of a dict whose keys it knows looks at nothing else where there are no keys: neither
at what the object has for attributes, nor at `__missing__`. Here such an object is guarded as
others are, and its length besides.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.guards import CheckFunctionManager, GuardBuilder, GuardManagerType

_KEPT = "_sdbackends_empty_dicts"
#: Where dicts come from that have nothing besides their keys.
_PLAIN = ("builtins", "collections")


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    choose, keys = GuardBuilder.get_guard_manager_type, GuardBuilder.guard_on_dict_keys_and_order
    build = CheckFunctionManager.build_guards

    @functools.wraps(choose)
    def get_guard_manager_type(self: Any, source: Any, value: Any) -> Any:
        if isinstance(value, dict) and not value and type(value).__module__ not in _PLAIN:
            vars(self).setdefault(_KEPT, {})[source] = value
            return GuardManagerType.GUARD_MANAGER
        return choose(self, source, value)

    @functools.wraps(keys)
    def guard_on_dict_keys_and_order(self: Any, value: Any, guard: Any) -> None:
        if guard.originating_source not in vars(self).get(_KEPT, {}):
            keys(self, value, guard)

    @functools.wraps(build)
    def build_guards(self: Any, *args: Any, **kwargs: Any) -> Any:
        builder, manager = build(self, *args, **kwargs)
        for source, value in vars(builder).get(_KEPT, {}).items():
            guards = builder.get_guard_manager_from_source(source)
            guards.add_dict_length_check_guard(0, [f"not {source.name}"], None)
            kind = type(value)
            words = f"type({source.name}) is {kind.__name__}"
            guards.add_lambda_guard(lambda now, kind=kind: type(now) is kind, [words], None)
        return builder, manager

    yield GuardBuilder, "get_guard_manager_type", get_guard_manager_type
    yield GuardBuilder, "guard_on_dict_keys_and_order", guard_on_dict_keys_and_order
    yield CheckFunctionManager, "build_guards", build_guards
