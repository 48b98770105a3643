"""Compiling, with JAX's persistent cache in a folder of ours.

JAX keeps one cache per process, in its global settings. A script may use JAX itself, so the
settings are ours only while we compile. A folder holds the programs of one graph: a damaged entry
is found when it is read, and its folder is emptied and filled again.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

_HIT = "/jax/compilation_cache/cache_hits"
_DAMAGED = "Error reading persistent compilation cache entry"
_SETTINGS: dict[str, Any] = {
    "jax_enable_compilation_cache": True,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_raise_persistent_cache_errors": False,
}
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Compiled:
    """An executable, and whether it came from the folder."""

    run: Any
    from_cache: bool


def compile(lowered: jax.stages.Lowered, folder: Path | None) -> Compiled:
    """The executable of a lowered function; `folder` None: keep nothing."""
    if folder is None:
        with _ONE_AT_A_TIME, _cache_in(None):
            return Compiled(lowered.compile(), False)
    with _ONE_AT_A_TIME, _cache_in(folder), _hits() as hits:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            executable = lowered.compile()
            if any(_DAMAGED in str(warning.message) for warning in said):
                _empty(folder)
                compilation_cache.reset_cache()
                executable = lowered.compile()
        return Compiled(executable, bool(hits))


def folder_name(*parts: object) -> str:
    """A name for the folder of one program: a hash of all that it depends on, hardware included."""
    return hashlib.sha256(repr((*parts, _instructions())).encode()).hexdigest()[:24]


def _instructions() -> Sequence[str]:
    """What this CPU can do: a program made for another one may not run here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        import platform

        return (platform.machine(), platform.processor())
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return tuple(sorted(flags.split()))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _cache_in(folder: Path | None) -> Iterator[None]:
    """JAX's cache settings, ours inside and untouched outside."""
    ours = {"jax_compilation_cache_dir": None if folder is None else str(folder), **_SETTINGS}
    ours = {name: value for name, value in ours.items() if hasattr(jax.config, name)}
    before = {name: getattr(jax.config, name) for name in ours}
    logger = logging.getLogger("jax._src.compiler")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        for name, value in ours.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


@contextmanager
def _hits() -> Iterator[list[str]]:
    """The cache hits that JAX reports inside."""
    seen: list[str] = []
    thread = threading.get_ident()

    def listen(event: str, **_: Any) -> None:
        if event == _HIT and threading.get_ident() == thread:
            seen.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_listener(listen)
