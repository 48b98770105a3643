"""How a cell is started: its command, its environment, and why some cells are not started at all.

The command is that of a person after `eval "$(sd-mock BACKEND)"`: a plain script of `pipelines/`
under the shim. An engine that gives up ends the script (`SD_FALLBACK=error`), so that torch's
picture is never taken for the engine's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from sdbackends.catalog import backend_files, environments, requirements
from sdbackends.catalog.backend_files import Backend
from sdbackends.launch import start
from sdbackends.launch.pipeline_scripts import pipeline_script
from sdbackends.launch.start import Choices
from sdbackends.matrix import model_availability
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.results import Cell
from sdbackends.paths import pipelines_dir

#: int8 is what an engine makes of a model that is loaded as float32.
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "float32"}


def refusal(cell: Cell) -> CellFailed | None:
    """Why the cell cannot run here, known without starting anything."""
    backend = backend_files.load(cell.backend)
    device = device_of(cell)
    if device not in backend.devices:
        return CellFailed(
            "unsupported", f"{backend.name} runs on {', '.join(backend.devices)} only"
        )
    if cell.precision not in backend.precisions_on(device):
        accepted = ", ".join(backend.precisions_on(device))
        why = f"{backend.name} has no {cell.precision} on {device} (it has {accepted})"
        return CellFailed("unsupported", why)
    lacks = [lack.why for lack in backend_files.readiness(backend).reasons]
    if lacks or (lacks := list(_device_lacks(backend, device))):
        return CellFailed("not-installed", "; ".join(lacks))
    return model_availability.lack(cell)


def _device_lacks(backend: Backend, device: str) -> Iterator[str]:
    """Torch has to be on the GPU, too, whatever the engine: it is what the cell is held against."""
    if device == "tpu" and not requirements.tpu():
        yield "this machine has no TPU"
    if device == "cuda" and not requirements.gpu():
        yield "this machine has no NVIDIA GPU"
    elif device == "cuda" and backend.host == "torch" and not requirements.cuda_torch():
        yield f"torch {requirements.version('torch')} is a build without CUDA"


def command(cell: Cell, output: Path, *, repeat: int) -> list[str]:
    """The script of the cell, drawing `repeat` times."""
    script = str(pipeline_script(cell.pipeline))
    return [sys.executable, script, *_words(cell), f"--output={output}", f"--repeat={repeat}"]


def environment(cell: Cell, *, measure: Path, cache: Path | None) -> dict[str, str]:
    """This process's environment, the shim, the cell's choices, and a cache of its own.

    `cache`: where that is; None: this user's, as without the matrix.
    fp32 is fp32: NVIDIA's libraries would take 11 bits of mantissa (TF32) for convolutions, and
    what every cell is held against would itself be off by 1e-3.
    """
    own = {
        **os.environ,
        "SD_MEASURE": str(measure.absolute()),
        "PYTHONIOENCODING": "utf-8",
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    if cache is not None:
        own["SD_CACHE_DIR"] = str(cache.absolute())
        own["TORCHINDUCTOR_CACHE_DIR"] = str(cache.absolute() / "inductor")
        own["TRITON_CACHE_DIR"] = str(cache.absolute() / "triton")
    choices = Choices(cell.backend, cell.precision, device_of(cell), fallback="error")
    return start.environment(choices, own)


def again(cell: Cell, *, quick: bool, file: Path | None) -> str:
    """The shell command that measures this one cell anew; `file`: instead of our matrix.yaml."""
    words = ["sdbackends", "matrix", *(["--quick"] if quick else [])]
    if file is not None:
        own = file.absolute()
        # Of a file elsewhere the name alone: results are shown to others.
        near = own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else Path(own.name)
        words += ["--file", near.as_posix()]
    return shlex.join([*words, "--cell", cell.id])


def plain(cell: Cell) -> str:
    """The shell command that draws the cell's picture in a checkout, without the matrix."""
    choices = {
        "backend": cell.backend,
        "precision": cell.precision,
        "device": device_of(cell),
        "fallback": "error",
    }
    options = [word for name, value in choices.items() for word in (f"--{name}", value)]
    words = ["sdbackends", "run", *options, f"pipelines/{cell.pipeline}.py", *_words(cell)]
    return shlex.join([*words, "--repeat=2", "--json"])


def versions(cell: Cell) -> dict[str, str]:
    """Of Python and of the packages that the backend runs on."""
    backend = backend_files.load(cell.backend)
    found = {name: requirements.version(name) for name in (*backend.modules, "numpy")}
    if backend.worker is not None:
        found |= _in_worker(backend)
    found["python"] = ".".join(map(str, sys.version_info[:3]))
    return {name: version for name, version in sorted(found.items()) if version is not None}


def device_of(cell: Cell) -> str:
    """The device that "auto" stands for on this machine, or the cell's own."""
    return requirements.device() if cell.device == "auto" else cell.device


def without_places(text: str, places: Mapping[str, Path]) -> str:
    """`text` without the names of this machine's folders: results are shown to others.

    `places`: what to call a folder -> the folder.
    """
    known = {
        **places,
        "pipelines": pipelines_dir(),
        "ENVIRONMENT": Path(sys.prefix),
    }
    with contextlib.suppress(RuntimeError):  # not everybody has a home
        known["~"] = Path.home()
    for name, place in known.items():
        text = text.replace(str(place.absolute()), name)
    return text


def _words(cell: Cell) -> list[str]:
    height, width = cell.size
    device = device_of(cell)
    words = {
        "steps": cell.steps,
        "height": height,
        "width": width,
        "batch": cell.batch,
        "scheduler": cell.scheduler,
        "dtype": _DTYPES[cell.precision],
        # Of a TPU torch knows nothing: there the script's own tensors are on the CPU.
        "device": device if device in ("cpu", "cuda") else "cpu",
    }
    given = [f"--{name}={value}" for name, value in words.items()]
    return given if cell.model == model_availability.EMBEDDED else [*given, f"--model={cell.model}"]


def _in_worker(backend: Backend) -> dict[str, str | None]:
    assert backend.worker is not None
    package = next(iter(environments.load(backend.worker).modules))
    return {package: environments.version(backend.worker)}
