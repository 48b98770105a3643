"""Leave out what Dynamo's tracing prepares for messages to its developers.

For a line of its log Dynamo looks up the name of every function that it traces, for which it splits
whole source files into tokens, and to every guard it writes the line of code that asked for it. It
times each program's guards, behind memory that it writes to empty the processor's caches: 0.02 s
and more. None of it is shown in calls of ours; under `SD_LOG=debug` it is prepared, and shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch._dynamo.guards
import torch._dynamo.symbolic_convert

from sdbackends import log


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    if log.is_debug():
        return
    for module, name, instead in (
        (torch._dynamo.symbolic_convert, "get_funcname", lambda file, line: None),
        (torch._dynamo.guards, "get_verbose_code_part", lambda part, guard: part),
        (torch._dynamo.guards, "_get_closure_var_hint", lambda source: None),
        (torch._dynamo.guards, "profile_guard_manager", lambda root, scope, times: 0.0),
    ):
        if hasattr(module, name):  # not every release of torch has them all
            yield module, name, instead
