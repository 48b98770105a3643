"""Captures kept on disk between processes.

An export costs seconds, so a capture is written once and read by the next process that traces the
same computation: an entry is found by the content of Dynamo's graph, not by a description of the
script. One file an entry, in the safetensors format (no pickle): the constants as tensors; the
graph, what it changes in place and a checksum in the header. It is written beside its place and
moved there, and read with suspicion: whatever else stands in its place is passed by, the capture
made anew and the place taken again. What a killed process left half written is swept away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
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
from sdbackends.utils import private_folder

#: A half-written file is swept away after so many seconds: no save takes that long.
_ABANDONED = 3600.0


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
            _write(_path(self.folder, key), tensors, header)
        except (OSError, SafetensorError) as error:
            _cannot(self.folder, "written", error)

    def _sweep(self, folder: Path) -> None:
        """Once in a process: remove what processes that were killed have left half written."""
        if self._swept:
            return
        self._swept = True
        for part in folder.glob("*.part"):
            with contextlib.suppress(OSError):  # another process sweeps too
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    part.unlink()


def _path(folder: Path, key: str) -> Path:
    described = repr((FORMAT, __version__, torch.__version__, key))
    return folder / f"{hashlib.sha256(described.encode()).hexdigest()}.safetensors"


def _cannot(folder: Path, be: str, error: Exception) -> None:
    log.warn_once(
        ("cache", str(folder)),
        f"captures cannot be {be}, and are made anew in each process: {error}\n"
        "  fix: set SD_CACHE_DIR to a folder of your own that can be written",
    )


def _write(path: Path, tensors: Mapping[str, torch.Tensor], header: dict[str, str]) -> None:
    """All of the file or nothing of it, also where Ctrl-C comes in between."""
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(dict(tensors), part, metadata=header)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # it has the name of an entry, and nothing can be moved onto it
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


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
