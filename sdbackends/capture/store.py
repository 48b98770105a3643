"""Captures kept on disk between processes.

An export costs seconds, so a capture is written once and read by the next process that traces the
same computation: an entry is found by the content of Dynamo's graph, not by a description of the
script. One file an entry, in the safetensors format (no pickle): the constants as tensors; the
graph, what it changes in place and a checksum in the header. It is written beside its place and
moved there, and read with suspicion: whatever else stands in its place is passed by, the capture
made anew and the place taken again. What a killed process left half written is swept away.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sdbackends import log
from sdbackends._version import __version__
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import FORMAT, Graph
from sdbackends.errors import ArtifactError
from sdbackends.utils import cache_file, private_folder


class CaptureStore:
    """The folder `captures/` of the cache directory; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._swept = False

    def load(self, key: str) -> Capture | None:
        if self.folder is None:
            return None
        path = _path(self.folder, key)
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would take for ever
                raise ArtifactError("a kept capture cannot be used", where=path.name, why="no file")
            return _read(path, key)
        except FileNotFoundError:
            return None
        except ArtifactError as error:
            log.warn_once(
                ("damaged", str(self.folder)),
                f"{error}\n  so:  it is made anew, as every other that cannot be used",
            )
        except OSError as error:
            _cannot(self.folder, "read", error)
        return None

    def save(self, key: str, capture: Capture) -> None:
        """Keep a capture. A folder that cannot be written costs a warning, not the run."""
        if self.folder is None:
            return
        try:
            header = {"graph": capture.graph.to_json(), "mutated": json.dumps(capture.mutated)}
        except TypeError as error:
            log.debug(f"a capture is not kept: {error}")
            return
        # clone: constants may share storage, which the format refuses
        tensors = {k: t.contiguous().clone() for k, t in capture.constants.items()}
        header["checksum"] = _checksum(key, header, tensors)
        try:
            private_folder.make(self.folder)
            self._sweep(self.folder)
            with cache_file.written_whole(_path(self.folder, key)) as part:
                save_file(dict(tensors), part, metadata=header)
        except (OSError, SafetensorError) as error:
            _cannot(self.folder, "written", error)

    def _sweep(self, folder: Path) -> None:
        """Once in a process: remove what processes that were killed have left half written."""
        if self._swept:
            return
        self._swept = True
        cache_file.remove_abandoned(folder)


def _path(folder: Path, key: str) -> Path:
    described = repr((FORMAT, __version__, torch.__version__, key))
    return folder / f"{hashlib.sha256(described.encode()).hexdigest()}.safetensors"


def _cannot(folder: Path, be: str, error: Exception) -> None:
    log.warn_once(
        ("cache", str(folder)),
        f"captures cannot be {be}, and are made anew in each process: {error}\n"
        "  fix: set SD_CACHE_DIR to a folder of your own that can be written",
    )


def _read(path: Path, key: str) -> Capture:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            constants: dict[str, torch.Tensor] = {
                name: file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118  (the file itself cannot be iterated)
            }
        if header.get("checksum") != _checksum(key, header, constants):
            raise ValueError("the checksum does not match")
        graph = Graph.from_json(header["graph"])
        if {c.key for c in graph.constants} != set(constants):
            raise ValueError("constants are missing")
        return Capture(graph, constants, tuple(json.loads(header["mutated"])))
    except Exception as error:  # whatever stands there, it is no reason to stop
        raise ArtifactError(
            "a kept capture cannot be used", where=path.name, why=str(error)
        ) from error


def _checksum(key: str, header: Mapping[str, str], constants: Mapping[str, torch.Tensor]) -> str:
    """Of the key too: a file that was moved to another entry's place is another computation."""
    digest = hashlib.sha256()
    digest.update(json.dumps([key, header.get("graph"), header.get("mutated")]).encode())
    for name in sorted(constants):
        tensor = constants[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
