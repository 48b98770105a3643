"""Devices: torch's words for where a tensor lies, in OneFlow's.

`torch.device("meta")` is a mark that no tensor carries. "cuda" on a machine without a card that
OneFlow can use means the CPU, which is said once: a script with `.to("cuda")` runs.
"""

from __future__ import annotations

import os
import types
from typing import Any

import oneflow as flow

from sdbackends import log
from sdbackends.oneflow_host.registry import PROVIDED, provides

_Real = flow.device


class _Meta:
    """Where nothing is: equal to no device; as a context it changes nothing."""

    type, index = "meta", None

    def __enter__(self) -> _Meta:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def __repr__(self) -> str:
        return "device(type='meta')"

    def __str__(self) -> str:
        return "meta"


meta = _Meta()


class _DeviceType(type):
    """`torch.device(...)` makes OneFlow's own device, and `isinstance` knows it."""

    def __call__(cls, device: Any = "cpu", index: int | None = None) -> Any:
        return as_device(device, index)

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, (_Real, _Meta))


@provides("torch.device")
class device(metaclass=_DeviceType):  # noqa: N801  (torch's name)
    """The name `torch.device`; its instances are `oneflow.device`."""


def as_device(device: Any, index: int | None = None) -> Any:
    """`torch.device(device, index)`."""
    if isinstance(device, (_Real, _Meta)):
        return device
    if isinstance(device, int):
        return _Real("cuda", device)
    if device == "meta":
        return meta
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda"):
        # torch raises a RuntimeError for a kind of device that it was not built for.
        raise RuntimeError(f"the OneFlow host has no device {device!r}: only cpu and cuda")
    at = int(number) if number else index
    return _Real(kind) if at is None else _Real(kind, at)


def placed(where: Any) -> Any:
    """The OneFlow device where a tensor meant for `where` really goes; None stays None."""
    if where is None or isinstance(where, _Meta):
        return None
    found = as_device(where)
    if found.type == "cuda" and not flow.cuda.is_available():
        log.warn_once("no cuda", 'OneFlow sees no CUDA device here: "cuda" means the CPU')
        return _Real("cpu")
    return found


def enter(self: Any) -> Any:
    """`with torch.device("cpu")`: the default already, and OneFlow has no other default."""
    if self.type != "cpu":
        raise RuntimeError(f"the OneFlow host cannot make {self.type} the default device")
    return self


@provides("torch.get_default_device")
def get_default_device() -> Any:
    return _Real("cpu")


@provides("torch.set_default_device")
def set_default_device(where: Any) -> None:
    if where is not None:
        enter(placed(where))


@provides("torch.get_num_threads")
def get_num_threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


@provides("torch.cuda.is_initialized")
def _cuda_is_initialized() -> bool:
    return bool(flow.cuda.is_available())


@provides("torch.cuda.is_bf16_supported", "torch.cuda.is_current_stream_capturing")
def _never(*_: Any, **__: Any) -> bool:
    return False


@provides("torch.get_device_module")
def get_device_module(where: Any = None) -> Any:
    return types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        empty_cache=lambda: None,
        synchronize=lambda *_: None,
    )


PROVIDED["torch.cuda.empty_cache"] = lambda: flow.cuda.is_available() and flow.cuda.empty_cache()
PROVIDED["torch.cuda.synchronize"] = lambda device=None: (
    flow.cuda.is_available() and flow.cuda.synchronize(device)
)
