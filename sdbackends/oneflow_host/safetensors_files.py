"""safetensors files read by numpy: the header, and one tensor at a time out of the mapped file.

OneFlow takes its tensors from numpy, which has no bfloat16: such a tensor comes as float32, whose
upper half it is.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import safetensors

_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32,
    "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


class SafetensorsFile:
    """One file; nothing is read before a tensor is asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise FileNotFoundError(f"No such file or directory: {self.path}")
        try:
            # The library's own check of lengths and offsets.
            with safetensors.safe_open(self.path, framework="np") as checked:
                self.names: list[str] = list(checked.keys())
        except safetensors.SafetensorError as error:
            raise safetensors.SafetensorError(f"{self.path}: {error}") from None
        with open(self.path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
        self.metadata: dict[str, str] | None = header.pop("__metadata__", None)
        self._entries = header
        self._bytes = np.memmap(self.path, np.uint8, "r", 8 + size) if self.names else None

    def shape(self, name: str) -> list[int]:
        return list(self._entries[name]["shape"])

    def dtype(self, name: str) -> str:
        return str(self._entries[name]["dtype"])

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A copy of one tensor."""
        if name not in self._entries:
            raise safetensors.SafetensorError(f"{self.path}: File does not contain tensor {name}")
        assert self._bytes is not None
        begin, end = self._entries[name]["data_offsets"]
        raw = np.array(self._bytes[begin:end])
        kind = self.dtype(name)
        if kind == "BF16":
            raw = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif kind in _DTYPES:
            raw = raw.view(_DTYPES[kind])
        else:
            raise safetensors.SafetensorError(f"{self.path}: OneFlow has no dtype {kind} ({name})")
        return raw.reshape(self.shape(name))
