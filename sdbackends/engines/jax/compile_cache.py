"""Compiling, with JAX's persistent cache in a folder of ours.

JAX keeps one cache per process, in its global settings. A script may use JAX itself, so the
settings are ours only while we compile. A folder holds the program of one graph and a list of
checksums: where they do not agree the folder is emptied and filled again, never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
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
_CHECKSUMS = "checksums.json"
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
    with _ONE_AT_A_TIME, _cache_in(folder), _hits() as hits, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an entry that JAX cannot use is compiled again
        if not _checked(folder):
            shutil.rmtree(folder, ignore_errors=True)
        executable = lowered.compile()
        if not hits:
            _sign(folder)
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


def _checksums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*-cache") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _checked(folder: Path) -> bool:
    """Whether every program in the folder is the one that was written there."""
    try:
        return bool(json.loads((folder / _CHECKSUMS).read_text()) == _checksums(folder))
    except (OSError, ValueError):
        return False


def _sign(folder: Path) -> None:
    """A cache that cannot be written costs time at the next start, nothing else."""
    written = folder / f"{_CHECKSUMS}.{os.getpid()}"
    with contextlib.suppress(OSError):
        written.write_text(json.dumps(_checksums(folder)))
        written.replace(folder / _CHECKSUMS)
    with contextlib.suppress(OSError):  # on a full disk a part of it is there
        written.unlink()


@contextmanager
def _cache_in(folder: Path | None) -> Iterator[None]:
    """JAX's cache settings, ours inside and untouched outside."""
    ours = {"jax_compilation_cache_dir": None if folder is None else str(folder), **_SETTINGS}
    ours = {name: value for name, value in ours.items() if hasattr(jax.config, name)}
    settings: Any = jax.config  # untyped in jax
    before = {name: getattr(settings, name) for name in ours}
    logger = logging.getLogger("jax._src.compiler")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        for name, value in ours.items():
            settings.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            settings.update(name, value)
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
