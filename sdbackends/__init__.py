"""One Stable Diffusion script, every engine.

In a script nothing changes: `eval "$(sd-mock jax)"` in the shell does the work. In a notebook:

    import sdbackends
    sdbackends.use("jax")              # from here on
    with sdbackends.use("compile"):    # or for a while
        pipe("a red circle")
    sdbackends.disable()               # everything is what it was

Importing this package imports no framework.
"""

from __future__ import annotations

import os
import sys

from sdbackends._version import __version__

TYPE_CHECKING = False  # as in typing, which takes milliseconds to import
if TYPE_CHECKING:
    from sdbackends.session import Session
    from sdbackends.settings import Fallback, LogLevel, Precision, Rng

__all__ = ["__version__", "disable", "use"]


def use(
    backend: str | None = None,
    *,
    precision: Precision | None = None,
    device: str | None = None,
    verify: bool | None = None,
    fallback: Fallback | None = None,
    rng: Rng | None = None,
    log: LogLevel | None = None,
) -> Session:
    """Run the models of every diffusers pipeline in this process on `backend`, from now on.

    What is not given is read from the `SD_*` variables. The session that comes back can be used
    with `with`; leaving it (or `sdbackends.disable()`) restores everything.

    Args:
        backend: a name from `sdbackends backends`, "auto", or per part: "unet=jax,vae=torch".
        precision: dtype in which models are loaded from now on.
        device: the engine's own device ("cpu", "cuda", "cuda:1", "tpu").
        verify: compare each model's first call with eager torch and print the figures.
        fallback: "warn" (a model that the engine cannot take runs on eager) or "error".
        rng: "cuda" for the numbers that a CUDA generator would give, on any device.
        log: "quiet", "info" or "debug".

    Raises:
        UsageError: an unknown backend or value.
        BackendNotReadyError: a package or device of the backend is missing.
    """
    import dataclasses

    from sdbackends.errors import UsageError
    from sdbackends.session import enable
    from sdbackends.settings import Settings

    given = {
        "SD_BACKEND": backend,
        "SD_PRECISION": precision,
        "SD_DEVICE": device,
        "SD_FALLBACK": fallback,
        "SD_RNG": rng,
        "SD_LOG": log,
    }
    for name, value in given.items():
        if not isinstance(value, str | None):
            raise UsageError(
                f"sdbackends.use: {value!r} is no text",
                where=name,
                fix='sdbackends.use("jax"); what can be given is in help(sdbackends.use)',
            )
    env = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    settings = Settings.from_environment(env)
    if verify is not None:
        settings = dataclasses.replace(settings, verify=verify)
    if settings.measure is not None:
        from sdbackends.matrix.measure import observe_sessions

        observe_sessions()
    return enable(settings)


def disable() -> None:
    """End every session: each attribute, class and `sys.modules` entry is what it was."""
    from sdbackends.session import close_all

    close_all()


if os.environ.get("SD_BACKEND", "").strip() and "sdbackends_shim" not in sys.modules:
    # Here, because a process without the shim runs no other code of ours.
    from sdbackends.launch import without_effect

    without_effect.watch()
