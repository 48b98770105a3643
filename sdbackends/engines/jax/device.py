"""Which JAX device runs the models, and a JAX that starts quietly.

The person's word ("cpu", "cuda:1", "tpu", or nothing) comes in, a `jax.Device` goes out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from sdbackends import log
from sdbackends.catalog import requirements
from sdbackends.errors import BackendNotReadyError, UsageError

#: What a person may say -> JAX's name of the platform.
_PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "gpu": "gpu", "tpu": "tpu"}
_FIXES = {
    "gpu": 'pip install "jax[cuda13]" on a machine with an NVIDIA GPU, or choose SD_DEVICE=cpu',
    "tpu": 'pip install "jax[tpu]" on a machine with a TPU, or choose SD_DEVICE=cpu',
    "cpu": "unset JAX_PLATFORMS, which hides the CPU from JAX",
}


def choose(word: str | None) -> jax.Device:
    """The device; JAX's own first choice if `word` is None.

    Raises:
        UsageError: `word` is no device.
        BackendNotReadyError: this JAX has no such device here.
    """
    with _quiet_start():
        if word is None:
            first = jax.local_devices()[0]
            if first.platform == "cpu" and requirements.device() == "cuda":
                _say_that_the_gpu_is_not_used()
            return first
        kind, _, number = word.partition(":")
        platform = _PLATFORMS.get(kind)
        if platform is None or (number and not number.isdigit()):
            raise UsageError(
                f"the jax engine knows no device {word!r}",
                fix=f"accepted: {', '.join(_PLATFORMS)}, with :N for the N-th",
            )
        try:
            devices = jax.local_devices(backend=platform)
        except RuntimeError as error:
            raise _not_here(word, platform, f"JAX {jax.__version__} sees no {platform}") from error
    if int(number or 0) >= len(devices):
        raise _not_here(word, platform, f"JAX sees {len(devices)} of that kind")
    return devices[int(number or 0)]


def _say_that_the_gpu_is_not_used() -> None:
    """torch's tensors are on the GPU, and every call would copy them to the CPU and back."""
    log.warn(
        f"JAX {jax.__version__} sees no GPU here, torch does: the jax engine runs on the CPU; "
        f"{_FIXES['gpu']}"
    )


def _not_here(word: str, platform: str, why: str) -> BackendNotReadyError:
    return BackendNotReadyError(
        f"the jax engine cannot run on {word!r}", why=why, fix=_FIXES[platform]
    )


@contextmanager
def _quiet_start() -> Iterator[None]:
    """JAX looks for its devices at the first question.

    It would warn about the ones that it does not find, and take three quarters of a GPU's memory
    for itself, while torch holds the weights there. Its own settings win where a person made them.
    """
    logger = logging.getLogger("jax._src.xla_bridge")
    level, name = logger.level, "XLA_PYTHON_CLIENT_PREALLOCATE"
    ours = name not in os.environ
    logger.setLevel(logging.ERROR)
    os.environ.setdefault(name, "false")
    try:
        yield
    finally:
        logger.setLevel(level)
        if ours:
            del os.environ[name]
