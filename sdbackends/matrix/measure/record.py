"""What the observer leaves in its folder, and how the process outside reads it.

`measured.json` holds one `Measured`, written anew (in one step) whenever something has happened, so
that a process which crashes or hangs leaves all that it knew. Standard library only: this module is
imported into the measured process.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILE = "measured.json"
#: The first output of every model, by its part; what the last step gave to the decoder is in
#: there too, as "latents".
PARTS_FILE = "parts.npz"


@dataclass(frozen=True)
class Failure:
    """The exception that ended a picture: its classes, nearest first, and what it said."""

    kinds: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Build:
    """A program that was built: of which model, how long it took.

    `capture`: what of it went by until the model's graph was there; 0 where there was none.
    """

    label: str
    seconds: float
    capture: float = 0.0


@dataclass
class Measured:
    """Seconds, bytes and FLOPs of one process.

    Attributes:
        phase: what the process is at, in words: "importing", "picture 2: building unet".
        importing: from the start of the process to the first model that is loaded.
        loading: from there to the first picture.
        images: every whole call of the pipeline, the first one included.
        parts: for each image, the samples of its parts. "encode" and "decode" have one sample an
            image, the sum of their calls; "step" has one for each denoising step.
        peak_gpu: at most so far, by torch's and jax's own books.
        weights: parameters and buffers of the models that were called, shared ones once.
        flops: of one sample of each part, attention included.
    """

    phase: str = "importing"
    importing: float | None = None
    loading: float | None = None
    images: list[float] = field(default_factory=list)
    parts: list[dict[str, list[float]]] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    peak_gpu: int | None = None
    weights: int | None = None
    flops: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None

    def write(self, folder: Path) -> None:
        part = folder / f"{_FILE}.part"
        part.write_text(json.dumps(asdict(self)), "utf-8")
        os.replace(part, folder / _FILE)


def read(folder: Path) -> Measured:
    """What the process in `folder` has measured so far; empty where it has written nothing yet."""
    try:
        found: dict[str, Any] = json.loads((folder / _FILE).read_text("utf-8"))
    except FileNotFoundError:
        return Measured()
    builds = [Build(**build) for build in found.pop("builds")]
    failure = found.pop("failure")
    if failure is not None:
        failure = Failure(tuple(failure["kinds"]), failure["text"])
    return Measured(**found, builds=builds, failure=failure)


def changed(folder: Path) -> int:
    """A number that is another one when the process has written something new."""
    try:
        return (folder / _FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
