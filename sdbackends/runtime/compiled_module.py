"""What `torch.compile(model)` gives to a script whose model runs on a chosen backend.

In comes a model; out goes torch's own `OptimizedModule` around it, without a compiler behind it:
calling it calls the model, so that the router sends the call to the engine. It is torch's class, so
everything that scripts and libraries do with a compiled model works: `._orig_mod`, attributes read
and written through, `state_dict()` with the prefix "_orig_mod.", copies and pickles, and diffusers'
`is_compiled_module`. Pickles name nothing of sdbackends.

`model.compile()`, which compiles in place, needs no such object: it keeps the model and sets
`model._compiled_call_impl`, which torch's `Module.__call__` asks for. A router that stands in for
it leaves that attribute None.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


def as_compiled(model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """`model` as `torch.compile(model, *args, **kwargs)` returns it, with nothing compiled.

    The arguments are those of `torch.compile`; the chosen backend has no use for them.
    """
    # Late: torch.compile's modules take a second to import, and few scripts compile.
    from torch._dynamo.eval_frame import OptimizedModule

    if isinstance(model, OptimizedModule):
        return model
    wrapped: torch.nn.Module = OptimizedModule(model, _context()())
    # As torch.compile sets them, for torch._dynamo's own unwrapping.
    wrapped._torchdynamo_orig_callable = model.forward  # type: ignore[assignment]
    wrapped._torchdynamo_wrapper_id = id(wrapped)  # type: ignore[assignment]
    wrapped.get_compiler_config = _no_config  # type: ignore[assignment]
    return wrapped


def _no_config() -> None:
    """No compiler, no configuration of one; torch says None for a backend without one too."""


@functools.cache
def _context() -> Any:
    from torch._dynamo.eval_frame import DisableContext

    class Uncompiled(DisableContext):
        """The context of `torch.compiler.disable`; it looks a model's call up at each call.

        torch's own keeps the bound method, which would outlive the session that replaced it.
        """

        def __init__(self) -> None:
            super().__init__(msg="the chosen backend runs this model", wrapping=False)

        def __call__(self, fn: Any) -> Callable[..., Any]:
            model = getattr(fn, "__self__", None)
            if not isinstance(model, torch.nn.Module):
                return super().__call__(fn)
            return super().__call__(functools.partial(_call, model))

        def __deepcopy__(self, memo: Any) -> Any:
            return self

        def __reduce__(self) -> Any:
            # A pickle names nothing of sdbackends.
            return DisableContext, ()

    return Uncompiled


def _call(model: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    return model(*args, **kwargs)
