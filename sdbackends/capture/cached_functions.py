"""Leave calls of `functools.lru_cache` functions to Python.

Dynamo traces through the cache, into the function: the program holds what the function gives then,
where Python gives what it gave when it was first called, until `cache_clear()`. A call of such a
function breaks the graph here. Those of the libraries that models are written with are traced as
before: they are taken to be functions of their arguments alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch._dynamo.exc import unimplemented
from torch._dynamo.variables.functions import WrapperUserFunctionVariable

_LIBRARIES = {"torch", "diffusers", "transformers", "einops", "peft", "accelerate"}


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    original = WrapperUserFunctionVariable.call_function

    @functools.wraps(original)
    def call_function(self: Any, *args: Any, **kwargs: Any) -> Any:
        function = self.wrapper_obj
        if hasattr(function, "cache_info") and _library(function) not in _LIBRARIES:
            unimplemented(
                gb_type="functools.lru_cache function",
                context=f"{function}",
                explanation=f"{function.__qualname__} keeps its results, which a program would not",
                hints=[],
            )
        return original(self, *args, **kwargs)

    yield WrapperUserFunctionVariable, "call_function", call_function


def _library(function: Any) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]
