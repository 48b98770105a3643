"""What the machine is: the card and its driver, device nodes, versions, what JAX and cuDNN say."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

from first_run.child import Turn

_PACKAGES = ("torch", "jax", "jaxlib", "jax-cuda13-plugin", "triton", "nvidia-cudnn-cu13")
_PACKAGES += ("diffusers", "transformers", "accelerate", "numpy")


def main(turn: Turn) -> None:
    for command in (
        ["nvidia-smi"],
        ["nvidia-smi", "-q"],
        ["g++", "--version"],
        [sys.executable, "-m", "pip", "list", "--disable-pip-version-check"],
    ):
        _print(command)
    turn.figure(
        nodes=sorted(glob.glob("/dev/nvidia*")),
        processors=os.cpu_count(),
        compiler=shutil.which("g++"),
        versions={name: _version(name) for name in _PACKAGES},
    )
    turn.figure(**_torch())
    # Each by itself: one that fails costs the others nothing.
    turn.figure(jax=_said_by(_jax))
    turn.figure(jax_cudnn=_said_by(_cudnn_of_jax))
    turn.figure(sdbackends=_said_by(_sdbackends))


def _torch() -> dict[str, Any]:
    import torch

    there = torch.cuda.is_available()
    found: dict[str, Any] = {"torch_sees_cuda": there, "torch_cuda": torch.version.cuda}
    found["torch_cudnn"] = torch.backends.cudnn.version()
    if there:
        found["capability"] = torch.cuda.get_device_capability(0)
        found["card"] = torch.cuda.get_device_name(0)
        found["multiprocessors"] = torch.cuda.get_device_properties(0).multi_processor_count
    return found


def _jax() -> list[str]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    return [f"{device} {device.platform} {device.device_kind}" for device in jax.devices()]


def _cudnn_of_jax() -> Any:
    from jax._src.lib import cuda_versions

    return cuda_versions and {
        "running": cuda_versions.cudnn_get_version(),
        "built": cuda_versions.cudnn_build_version(),
    }


def _sdbackends() -> dict[str, Any]:
    from sdbackends.catalog import backend_files, requirements

    names = ("torch", "compile", "jax")
    lacks = {
        n: [one.why for one in backend_files.readiness(backend_files.load(n)).reasons]
        for n in names
    }
    return {"device": requirements.device(), "lacks": lacks}


def _said_by(ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print(command: list[str]) -> None:
    print("$", *command, flush=True)
    if shutil.which(command[0]):
        subprocess.run(command, check=False, timeout=30)
