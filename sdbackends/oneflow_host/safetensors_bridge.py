"""`safetensors.torch` and `safetensors.safe_open(framework="pt")` on the host.

The real module is written against torch's storages. This one has the same functions over numpy,
and stands in its place while the host is active.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import oneflow as flow
import safetensors
import safetensors.numpy

from sdbackends.host.patches import Patches
from sdbackends.oneflow_host.creation import from_data
from sdbackends.oneflow_host.devices import placed
from sdbackends.oneflow_host.safetensors_files import SafetensorsFile

_real_open = safetensors.safe_open


def apply(patches: Patches) -> None:
    """Put the bridge in place until `patches` are undone."""
    module = ModuleType("safetensors.torch", __doc__)
    for function in _FUNCTIONS:
        setattr(module, function.__name__, function)
    vars(module)["safe_open"] = safe_open
    patches.set_item(sys.modules, "safetensors.torch", module, "sys.modules")
    patches.set(safetensors, "torch", module)
    patches.set(safetensors, "safe_open", safe_open)


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Any]:
    file = SafetensorsFile(filename)
    return {name: _tensor(file.array(name), device) for name in file.names}


def load(data: bytes) -> dict[str, Any]:
    return {name: _tensor(array, "cpu") for name, array in safetensors.numpy.load(data).items()}


def save_file(
    tensors: dict[str, Any],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    safetensors.numpy.save_file(_arrays(tensors), filename, metadata=metadata)


def save(tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    return safetensors.numpy.save(_arrays(tensors), metadata=metadata)


def load_model(model: Any, filename: Any, strict: bool = True, device: Any = "cpu") -> Any:
    return model.load_state_dict(load_file(filename, device), strict=strict)


def save_model(model: Any, filename: str, metadata: dict[str, str] | None = None) -> None:
    save_file(model.state_dict(), filename, metadata)


def storage_ptr(tensor: Any) -> int:
    """OneFlow shows no addresses: each tensor counts as memory of its own."""
    return id(tensor)


def storage_size(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


_FUNCTIONS = (
    load_file, load, save_file, save, load_model, save_model, storage_ptr, storage_size,
)  # fmt: skip


class safe_open:  # noqa: N801  (the name that libraries import)
    """A file of tensors; for any framework but torch the real one."""

    def __new__(cls, filename: Any, framework: str = "pt", device: Any = "cpu", **how: Any) -> Any:
        if framework not in ("pt", "torch", "pytorch"):
            return _real_open(filename, framework=framework, device=device, **how)
        return super().__new__(cls)

    def __init__(self, filename: Any, framework: str = "pt", device: Any = "cpu", **_: Any) -> None:
        self._file, self._device = SafetensorsFile(filename), device

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        pass

    def keys(self) -> list[str]:
        return list(self._file.names)

    def offset_keys(self) -> list[str]:
        return list(self._file.names)

    def metadata(self) -> dict[str, str] | None:
        return self._file.metadata

    def get_tensor(self, name: str) -> Any:
        return _tensor(self._file.array(name), self._device)

    def get_slice(self, name: str) -> _Slice:
        return _Slice(self._file, name, self._device)


class _Slice:
    """One tensor of a file, read when it is indexed."""

    def __init__(self, file: SafetensorsFile, name: str, device: Any) -> None:
        self._file, self._name, self._device = file, name, device

    def get_shape(self) -> list[int]:
        return self._file.shape(self._name)

    def get_dtype(self) -> str:
        return self._file.dtype(self._name)

    def __getitem__(self, at: Any) -> Any:
        return _tensor(self._file.array(self._name)[at], self._device)


def _tensor(array: np.ndarray[Any, Any], device: Any) -> Any:
    if array.dtype == np.float16 and not flow.cuda.is_available():
        array = array.astype(np.float32)
    tensor = from_data(array)
    where = placed(device)
    return tensor if where is None or where.type == "cpu" else tensor.to(where)


def _arrays(tensors: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.ascontiguousarray(t.detach().numpy()) for name, t in tensors.items()}
