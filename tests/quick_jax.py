"""Compile for JAX in less time, where it is not the machine code that is tested.

XLA's own optimisations stay; LLVM's, which take most of the time, are left out. Pictures and models
are compared at full optimisation in tests/agreement and tests/matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: For a process of its own.
XLA_FLAGS = "--xla_backend_optimization_level=0"


@contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile so until the end of the block; nothing where JAX is not installed."""
    try:
        import jax
    except ImportError:
        yield
        return
    compile = jax.stages.Lowered.compile

    def quick(lowered: Any) -> Any:
        return compile(lowered, compiler_options={"xla_backend_optimization_level": 0})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", quick)
        yield
