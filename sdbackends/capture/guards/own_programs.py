"""A program serves the calls of its own model alone.

Dynamo keeps what it compiled on the code of functions. Where a call is compiled in parts, that is
code that models share (`torch.nn.Module.__call__`, hooks, blocks), and once a function has reached
its limit of recompilations Dynamo takes any program there whose guards hold: another model's, or a
closed one. So every set of guards asks whose call it is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.guards import CheckFunctionManager

from sdbackends.capture.call_record import record


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    original = CheckFunctionManager.build_guards

    @functools.wraps(original)
    def build_guards(self: Any, *args: Any, **kwargs: Any) -> Any:
        builder, manager = original(self, *args, **kwargs)
        call = record()
        if call is not None:
            owner = call.owner

            def is_owners(_: Any) -> bool:
                now = record()
                return now is not None and now.owner is owner

            manager.root.add_lambda_guard(is_owners, ["a call of the program's own model"], None)
        return builder, manager

    yield CheckFunctionManager, "build_guards", build_guards
