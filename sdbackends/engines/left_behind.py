"""Runtimes that were running when this process was forked, and that its child cannot use.

JAX computes in threads of its own, which a child does not have: the first computation would wait
for them for ever. That holds also where the script itself had used JAX. Nor can the child end JAX
after the script has done its work: where its client is destroyed the process ends by SIGSEGV, and
where MLIR's threads are joined it never ends.

Inductor starts the C++ compiler from threads of its own. In the child torch lets go of inductor's
processes, but not of these threads, and what has to be compiled there would wait for them for ever.
Without them inductor begins with new ones.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys

_left: set[str] = set()


def is_left_behind(engine: str) -> bool:
    """Whether this engine's runtime had been started before this process was forked."""
    return engine in _left


def _look() -> None:
    _look_for_jax()
    inductor = sys.modules.get("torch._inductor.async_compile")
    if inductor is not None:
        inductor.AsyncCompile.pool.cache_clear()


def _look_for_jax() -> None:
    pool = getattr(sys.modules.get("jax._src.interpreters.mlir"), "global_thread_pool", None)
    if pool is not None:
        _keep(pool)
    bridge = sys.modules.get("jax._src.xla_bridge")
    clients = dict(getattr(bridge, "_backends", None) or {})
    if not clients:
        return
    _left.add("jax")
    _keep(clients)
    ending = getattr(sys.modules.get("jax._src.api"), "clean_up", None)
    if ending is not None:
        atexit.unregister(ending)


def _keep(thing: object) -> None:
    """Never destroy it: it has one reference more than Python knows of."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look)
