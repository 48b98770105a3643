"""Captures kept on disk between processes.

An export costs seconds, so a capture is written once and read by the next process. One file an
entry, in the safetensors format (no pickle): the constants as tensors; the graph, the output spec
and a checksum in the header. It is written beside its place and moved there, and read with
suspicion: a damaged, truncated or foreign file is deleted and the capture made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils import _pytree as pytree

from sdbackends import say
from sdbackends._version import __version__
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import FORMAT, Graph
from sdbackends.capture.signature import CallSignature, ModuleState
from sdbackends.errors import ArtifactError

_PACKAGES = ("torch", "diffusers", "transformers", "peft")


class CaptureStore:
    """The folder `captures/` of the cache directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, signature: CallSignature, state: ModuleState) -> str | None:
        """Name of the entry; None where code or state of the model is this process's own."""
        if not state.persistent:
            return None
        described = repr((FORMAT, __version__, _versions(), signature.key, state.structure))
        return hashlib.sha256(described.encode()).hexdigest()

    def load(self, key: str) -> Capture | None:
        path = self._path(key)
        if not path.exists():
            return None
        try:
            return _read(path)
        except ArtifactError as error:
            say.debug(f"{error}; captured anew")
            path.unlink(missing_ok=True)
            return None

    def save(self, key: str, capture: Capture) -> None:
        """Keep a capture. A folder that cannot be written costs a warning, not the run."""
        try:
            spec = pytree.treespec_dumps(capture.out_spec)
        except (NotImplementedError, TypeError) as error:
            say.debug(f"a capture is not kept: {error}")
            return
        header = {"graph": capture.graph.to_json(), "out_spec": spec}
        header["checksum"] = _checksum(header)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            os.close(handle)
            # clone: constants may share storage, which the format refuses
            tensors = {k: t.contiguous().clone() for k, t in capture.constants.items()}
            save_file(tensors, name, metadata=header)
            os.replace(name, self._path(key))
        except OSError as error:
            say.warn_once(
                ("cache", str(self.folder)),
                f"captures are not kept: {error}\n"
                "  mend: set SD_CACHE_DIR to a folder that can be written",
            )

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def _read(path: Path) -> Capture:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            constants: dict[str, torch.Tensor] = {
                key: file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118  (the file itself cannot be iterated)
            }
        if header.get("checksum") != _checksum(header):
            raise ValueError("the checksum does not match")
        graph = Graph.from_json(header["graph"])
        if {c.key for c in graph.constants} != set(constants):
            raise ValueError("constants are missing")
        return Capture(graph, constants, pytree.treespec_loads(header["out_spec"]))
    except (OSError, SafetensorError, ValueError, KeyError, NotImplementedError) as error:
        raise ArtifactError(
            "a kept capture cannot be used", where=path.name, why=str(error)
        ) from error


def _checksum(header: dict[str, str]) -> str:
    text = json.dumps([header.get("graph"), header.get("out_spec")])
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> list[Any]:
    found: list[Any] = []
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, None))
    return found
