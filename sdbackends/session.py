"""Sessions: what is patched over the real torch, and when it is undone.

In comes a `Settings`; out goes a `Session` whose patches hold the CUDA stand-in, the CUDA
generator's numbers, the precision and (as soon as diffusers or transformers is imported) the
routes to the engines. Where the backend is a host (oneflow as torch) the host is all there is. The
shim calls `enter_script` around the import of torch, a notebook calls `enable` through
`sdbackends.use`. Sessions nest, and each undoes exactly its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from sdbackends import log
from sdbackends.errors import SdError, UsageError
from sdbackends.host import active_settings
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches
from sdbackends.paths import check_backend
from sdbackends.runtime.events import Listener, Listeners
from sdbackends.settings import Settings

#: Where models come from. The routes wait for them, so that other scripts start fast.
_MODEL_LIBRARIES = ("diffusers", "transformers")

_T = TypeVar("_T")
_stack: list[Session] = []
_was_active = False
_observer: Callable[[Path, Patches], Listener] | None = None


class Session:
    """One activation; `with` closes it, `close` undoes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.patches = Patches()
        self.listeners = Listeners()
        self._routed = False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except SdError as still_on:
            if error is None:
                raise
            log.warn(str(still_on))  # the script's own error goes on

    def close(self) -> None:
        """Restore everything that this session changed; a second call does nothing.

        Raises:
            UsageError: a session that began later is still on.
        """
        if self not in _stack:
            return
        if _stack[-1] is not self:
            later = _stack[-1].settings.backend
            raise UsageError(
                "this session cannot be closed yet",
                why=f"a later one is still on ({', '.join(later.names)})",
                fix="close the later one first, or all of them: sdbackends.disable()",
            )
        try:
            self.patches.undo()
        finally:
            _stack.remove(self)
            active_settings.remove(self.settings)

    def route_once(self, _library: ModuleType) -> None:
        """Lay the routes, when the first library that models come from has been imported."""
        if not self._routed:
            self._routed = True
            from sdbackends.runtime import router

            strategy = None
            if self.settings.measure is not None:
                assert _observer is not None, "observe_with() comes before a measured session"
                self.listeners.add(_observer(self.settings.measure, self.patches))
            if self.settings.survey is not None:
                from sdbackends.runtime.op_survey import OpSurvey

                survey = OpSurvey(self.settings.survey)
                self.listeners.add(survey)
                strategy = survey.build
                survey.keep_pictures_from_saving(self.patches)
            router.install(self.settings, self.patches, [self.listeners], strategy)
            self.listeners.installed()


def observe_with(make: Callable[[Path, Patches], Listener]) -> None:
    """Let `make` give a listener for each session that is measured (`SD_MEASURE`)."""
    global _observer
    _observer = make


def active() -> Session | None:
    """The session that holds at present: the innermost one."""
    return _stack[-1] if _stack else None


def was_active() -> bool:
    """Whether this process has had any session so far."""
    return _was_active


def enable(settings: Settings) -> Session:
    """Lay everything that `settings` ask for over torch, which is imported if it is not yet.

    Raises:
        UsageError: a backend that the settings name does not exist.
        BackendNotReadyError: diffusers or transformers is imported already, and a package or
            device of the backend is missing.
    """
    if _names_a_host(settings):
        from sdbackends.oneflow_host.session import refuse_when_too_late

        refuse_when_too_late()
    else:
        import torch  # noqa: F401  (first: under the shim this begins the script's own session)

    return _begin(settings, lambda action: action())


def close_all() -> None:
    """End every session, the innermost first."""
    while _stack:
        _stack[-1].close()


def enter_script() -> Callable[[], None]:
    """Called by the shim before torch is executed; what it returns is called after.

    Wrong words in the environment end the script here, with one message and the exit code of the
    error: an exception could be swallowed by an `except` around `import torch`.
    """
    settings = _or_exit(Settings.from_environment)
    if not settings.backend.names:
        return _say_how_to_choose
    _or_exit(lambda: _check(settings))
    return lambda: _or_exit(lambda: _enter(settings))


def host_spec() -> ModuleSpec:
    """Called by the shim where a host's name is in `SD_BACKEND`: how to make its torch."""
    from sdbackends.oneflow_host import entry

    return entry.spec(lambda: _or_exit(lambda: _enter(_or_exit(Settings.from_environment))))


def host_distributions(context: Any) -> Any:
    """Called by the shim there, when somebody asks which packages are installed."""
    from sdbackends.oneflow_host import entry

    return entry.distributions(context)


def _enter(settings: Settings) -> None:
    _begin(settings, _or_exit)


def _begin(settings: Settings, guard: Callable[[Callable[[], None]], None]) -> Session:
    """`guard` runs what happens later, inside the import of a library."""
    global _was_active
    _check(settings)
    _was_active = True
    session = Session(settings)
    _stack.append(session)
    active_settings.push(settings)
    try:
        if _names_a_host(settings):
            _apply_host(session)
            return session
        _apply(session)
        for library in _MODEL_LIBRARIES:
            when_imported(library, lambda m: guard(lambda: session.route_once(m)), session.patches)
    except BaseException:
        session.close()
        raise
    return session


def _check(settings: Settings) -> None:
    for name in settings.backend.names:
        check_backend(name)


def _names_a_host(settings: Settings) -> bool:
    """Whether a backend that the settings name ends in "-host", as those of hosts do."""
    return any(name.endswith("-host") for name in settings.backend.names)


def _apply_host(session: Session) -> None:
    choice = session.settings.backend
    if choice.default is None or len(choice.names) > 1:
        raise UsageError(
            f"a host cannot run a part of a pipeline: {', '.join(choice.names)}",
            where="SD_BACKEND",
            why="it takes the place of torch for the whole script",
            fix=f"SD_BACKEND={next(name for name in choice.names if name.endswith('-host'))}",
        )
    from sdbackends.catalog import backend_files
    from sdbackends.oneflow_host import session as host

    backend = backend_files.require(choice.default)
    if session.settings.precision not in (None, *backend.precisions_on(None)):
        raise UsageError(
            f"the backend {backend.name!r} has no precision {session.settings.precision!r}",
            where="SD_PRECISION",
            fix=f"accepted: {', '.join(backend.precisions_on(None))}",
        )
    before = log.set_level(session.settings.log)
    session.patches.on_undo("log level", lambda: (log.set_level(before), None)[1])
    host.apply(session.patches, backend.options)


def _apply(session: Session) -> None:
    patches = session.patches
    before = log.set_level(session.settings.log)
    patches.on_undo("log level", lambda: (log.set_level(before), None)[1])
    from sdbackends.host import cuda, offload, precision

    if cuda.is_missing() and not cuda.is_applied():
        cuda.apply(patches)
        offload.apply(patches)
    if cuda.is_applied() and session.settings.rng == "cuda":
        from sdbackends.host import cuda_rng as numbers

        numbers.apply(patches)
    precision.apply(patches)


def _say_how_to_choose() -> None:
    """Plain torch: nothing is patched, and one line comes when diffusers is imported."""

    def hint(_diffusers: ModuleType) -> None:
        if active() is None:
            log.warn(
                "SD_BACKEND is not set: plain torch. Choose one: export SD_BACKEND=jax "
                "(see `sdbackends backends`)"
            )

    if "diffusers" in sys.modules:
        hint(sys.modules["diffusers"])
    else:
        when_imported("diffusers", hint, Patches())


def _or_exit(action: Callable[[], _T]) -> _T:
    try:
        return action()
    except SdError as error:
        log.warn(str(error))
        raise SystemExit(error.exit_code) from None
