"""Whether the models of a session run on a GPU that this torch cannot see.

In come the settings; out goes a yes or no, from the file system and package metadata alone: neither
torch nor jax is asked, because asking jax would take its GPU.
"""

from __future__ import annotations

import functools
import os

from sdbackends.settings import Settings

#: Packages with which jax sees an NVIDIA GPU.
_JAX_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")


def runs_models(settings: Settings) -> bool:
    """Whether a backend that the settings name runs its models on a GPU of this machine."""
    from sdbackends.catalog import requirements  # late: a script that never asks has no use for it

    if not requirements.gpu():
        return False
    return any(_on_gpu(name, settings.device) for name in settings.backend.names)


@functools.cache
def _on_gpu(name: str, device: str | None) -> bool:
    from sdbackends.catalog import backend_files, requirements

    if device is not None and not device.startswith("cuda"):
        return False
    backend = backend_files.load(name)
    if "cuda" not in backend.devices:
        return False
    if backend.engine == "jax":
        allowed = os.environ.get("JAX_PLATFORMS", "cuda")
        return any(map(requirements.version, _JAX_PLUGINS)) and (
            "cuda" in allowed or "gpu" in allowed
        )
    # An engine inside this torch has its devices. Which cards another engine can use is known when
    # it runs (OneFlow's wheel has code for some); `SD_DEVICE=cuda` says that it can.
    return backend.engine not in ("eager", "inductor") and device is not None
