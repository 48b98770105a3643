"""Make the engines of a session's backends, each at the first call that needs it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

from sdbackends import log
from sdbackends.capture.forked import forked_amid_trace
from sdbackends.capture.store import CaptureStore
from sdbackends.catalog import backend_files, environments, requirements
from sdbackends.engines import cache_folder, create, is_plain_torch
from sdbackends.engines.base import Engine, EngineContext, WorkerEnvironment
from sdbackends.engines.left_behind import is_left_behind
from sdbackends.errors import BackendNotReadyError, UsageError
from sdbackends.runtime.cache_folder import open_folder
from sdbackends.settings import Settings


class EnginePool:
    """The engines of the backends that the settings name.

    Raises:
        UnknownBackendError: a backend that the settings name does not exist.
        BackendNotReadyError: a package that it needs is missing.
        UsageError: it lacks the precision that the settings name.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._backends = {name: backend_files.require(name) for name in settings.backend.names}
        if "auto" in self._backends:
            log.note(f"SD_BACKEND=auto: {self._backends['auto'].name}")
        for backend in self._backends.values():
            _check_precision(backend, settings)
        self._engines: dict[str, Engine] = {}
        self._process = os.getpid()

    def is_plain_torch(self, backend: str) -> bool:
        """Whether the backend leaves its models to torch as the script has it."""
        return is_plain_torch(self._backends[backend].engine)

    def full_name(self, backend: str) -> str:
        """What messages call it: "auto" stands for another."""
        return self._backends[backend].name

    def engine(self, backend: str) -> Engine:
        if backend not in self._engines:
            asked = self._backends[backend]
            context = EngineContext(
                options=asked.options,
                device=self.settings.device,
                cache_dir=open_folder(self.settings, cache_folder(asked.engine)),
                worker=worker_environment(asked.worker) if asked.worker else None,
            )
            self._engines[backend] = create(asked.engine, context)
        return self._engines[backend]

    @functools.cached_property
    def captures(self) -> CaptureStore:
        return CaptureStore(open_folder(self.settings, "captures"))

    def lost_by_fork(self, backend: str) -> str | None:
        """Say why no call can use the engine: a runtime's threads do not survive a fork."""
        if self._process == os.getpid():
            return None
        engine = self._engines.get(backend)
        lost = engine is not None and not engine.survives_fork
        if lost or is_left_behind(self._backends[backend].engine):
            return (
                f"{backend} was started before this process was forked "
                "(start it in the child instead)"
            )
        if forked_amid_trace():
            return "another thread was building a program when this process was forked"
        return None

    def steps_to_close(self) -> list[tuple[str, Callable[[], None]]]:
        """Forget the engines, and return what ends each of them, with its name."""
        engines = list(self._engines.items())
        self._engines.clear()
        return [(f"the engine of {name}", engine.close) for name, engine in engines]


def worker_environment(name: str) -> WorkerEnvironment:
    """Find the interpreter of an environment of `backends/environments`.

    Raises:
        BackendNotReadyError: it has not been made here, or lacks a package.
    """
    python = environments.interpreter(name)
    if python is None:
        lacks = environments.lacks(name)
        raise BackendNotReadyError(
            f"the environment {name!r} of the backend's worker is not ready",
            why="; ".join(lack.why for lack in lacks),
            fix=lacks[0].fix if lacks else f"sdbackends env create {name}",
        )
    return WorkerEnvironment(name, python)


def _check_precision(backend: backend_files.Backend, settings: Settings) -> None:
    device = (settings.device or requirements.device()).partition(":")[0]
    accepted = backend.precisions_on(device)
    if settings.precision is not None and settings.precision not in accepted:
        raise UsageError(
            f"the backend {backend.name!r} has no precision {settings.precision!r} on {device}",
            where="SD_PRECISION",
            fix=f"accepted: {', '.join(accepted)}; unset it for the script's own",
        )
