"""`torch.cuda` on a machine without CUDA: every name that scripts use gives a harmless answer.

What only *does* something does nothing. `is_available()` answers for the device that the models
run on: True where the engine has a GPU, else False, and `SD_CUDA=1` makes it True for scripts that
refuse to start without. Where it is True it matters who asks, which is read from the caller's
module: libraries of the torch family hear what plain torch says on this machine, because they would
go on to use CUDA itself.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import torch

from sdbackends.host import active_settings, gpu
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches

#: Top-level packages that get the honest answer.
HONEST = {
    *("torch", "torchvision", "torchaudio", "torchao", "triton", "functorch", "bitsandbytes"),
    *("diffusers", "transformers", "accelerate", "peft", "safetensors", "huggingface_hub"),
    *("optimum", "xformers", "sdbackends"),
}
#: What plain torch says without CUDA, where it says anything.
_HONEST_ANSWERS: dict[str, Any] = {
    "is_available": False,
    "is_initialized": False,
    "device_count": 0,
    "is_bf16_supported": False,
    "get_arch_list": [],
}
#: Modules of torch.compile that copy names of torch.cuda into classes when they are imported.
_KEEPERS = ("torch._dynamo.device_interface", "torch._dynamo.variables.streams")
_GPU_NAME = "CPU (CUDA stand-in of sdbackends)"
#: The GPU that the stand-in plays, where a number is asked for: an A100, as in philox.py.
CAPABILITY = (8, 0)
_GIB = 1 << 30


def is_available() -> bool:
    """Whether a script hears that there is CUDA: the models run on a GPU, or `SD_CUDA=1`."""
    settings = active_settings.current()
    return settings is not None and (settings.cuda or gpu.runs_models(settings))


def apply(patches: Patches) -> None:
    """Replace the names of `torch.cuda`; `seed` functions seed torch's own generator."""
    stand_ins: dict[str, Any] = {kind.__name__: kind for kind in _CLASSES}
    stand_ins |= {n: like(getattr(torch.cuda, n), action) for n, action in _actions().items()}
    stand_ins |= {n: _depends_on_who_asks(n, answer) for n, answer in _answers().items()}
    real = {own: patches.set_function(torch.cuda, n, own) for n, own in stand_ins.items()}
    for module in _KEEPERS:
        when_imported(module, lambda m: _give_back(m, real), patches)
    for name in ("range_push", "range_pop", "range_start", "range_end", "mark"):
        patches.set(torch.cuda.nvtx, name, like(getattr(torch.cuda.nvtx, name), _nothing))
    patches.set(torch.cuda, "default_generators", (torch.default_generator,))


def _give_back(module: ModuleType, real: dict[Any, Any]) -> None:
    """Put torch's own functions into the classes of `module`, which outlives the patches."""
    for kind in [thing for thing in vars(module).values() if isinstance(thing, type)]:
        for name, value in list(vars(kind).items()):
            static = isinstance(value, staticmethod)
            function = value.__func__ if isinstance(value, staticmethod) else value
            if isinstance(function, (FunctionType, type)) and function in real:
                own = real[function]
                setattr(kind, name, staticmethod(own) if static else own)


def like(real: Any, action: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does `action` and looks like `real`.

    One for each name: torch.compile asks that no two names share one.
    """

    @functools.wraps(real)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return action(*args, **kwargs)

    return stand_in


def _depends_on_who_asks(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(getattr(torch.cuda, name))
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        asking = str(sys._getframe(1).f_globals.get("__name__", ""))
        honest = asking.partition(".")[0] in HONEST
        if name in _HONEST_ANSWERS and (honest or not is_available()):
            return _HONEST_ANSWERS[name]
        if not honest:
            return answer(*args, **kwargs)
        # The class and the words of a torch without CUDA, which such callers catch.
        raise AssertionError("Torch not compiled with CUDA enabled")

    return stand_in


def _answers() -> dict[str, Callable[..., Any]]:
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda including_emulation=True: True,
        "get_device_name": lambda device=None: _GPU_NAME,
        "get_device_capability": lambda device=None: CAPABILITY,
        "get_device_properties": _properties,
        "get_arch_list": list,
        "mem_get_info": lambda device=None: (_memory("SC_AVPHYS_PAGES"), _memory("SC_PHYS_PAGES")),
        "can_device_access_peer": lambda device, peer_device: False,
        "utilization": lambda device=None: 0,
        "memory_usage": lambda device=None: 0,
        "temperature": lambda device=None: 0,
        "power_draw": lambda device=None: 0,
        "clock_rate": lambda device=None: 0,
    }


def _actions() -> dict[str, Callable[..., Any]]:
    generator = torch.default_generator
    nothing = (
        "set_device synchronize empty_cache ipc_collect init set_stream set_sync_debug_mode "
        "set_per_process_memory_fraction reset_peak_memory_stats reset_accumulated_memory_stats "
        "reset_max_memory_allocated reset_max_memory_cached"
    )
    return {
        **dict.fromkeys(nothing.split(), _nothing),
        "get_sync_debug_mode": lambda: 0,
        "is_current_stream_capturing": lambda: False,
        "memory_summary": lambda *args, **kwargs: "no CUDA here: no CUDA memory\n",
        "memory_snapshot": lambda *args, **kwargs: [],
        "list_gpu_processes": lambda device=None: "no CUDA here: no GPU processes",
        "stream": _stream,
        "current_stream": lambda device=None: Stream(),
        "default_stream": lambda device=None: Stream(),
        "manual_seed": _seed,
        "manual_seed_all": _seed,
        "seed": lambda: _nothing(generator.seed()),
        "seed_all": lambda: _nothing(generator.seed()),
        "initial_seed": generator.initial_seed,
        "get_rng_state": lambda device="cuda": generator.get_state(),
        "get_rng_state_all": lambda: [generator.get_state()],
        "set_rng_state": lambda state, device="cuda": _nothing(generator.set_state(state)),
        "set_rng_state_all": lambda states: _nothing(generator.set_state(states[0])),
    }


class Event:
    """Times on the CPU, where work is done when the call returns."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        self._at = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        if self._at is None or end_event._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._at - self._at) * 1000

    def synchronize(self) -> None: ...

    def wait(self, stream: Any = None) -> None: ...

    def query(self) -> bool:
        return True


class Stream:
    """The CPU does one thing after the other: nothing to wait for."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device = torch.device("cpu")
        self.priority = priority
        self.cuda_stream = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, stream: Any) -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def query(self) -> bool:
        return True

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event


class _Device:
    """`with torch.cuda.device(0):`"""

    def __init__(self, device: Any = None) -> None:
        self.idx, self.prev_idx = 0, 0

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...


class _DeviceOf(_Device):
    """`with torch.cuda.device_of(tensor):`"""


@contextlib.contextmanager
def _stream(stream: Any) -> Iterator[None]:
    yield


def _properties(device: Any = None) -> SimpleNamespace:
    major, minor = CAPABILITY
    return SimpleNamespace(
        name=_GPU_NAME,
        major=major,
        minor=minor,
        total_memory=_memory("SC_PHYS_PAGES"),
        multi_processor_count=108,
        max_threads_per_multi_processor=2048,
        warp_size=32,
        is_integrated=1,
        is_multi_gpu_board=0,
    )


def _memory(pages: str) -> int:
    """The machine's own memory: that is what the tensors live in."""
    sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)
    if sysconf is None:
        return 8 * _GIB
    return sysconf(pages) * sysconf("SC_PAGE_SIZE")


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(int(seed))


def _nothing(*args: Any, **kwargs: Any) -> None: ...


_CLASSES = (Event, Stream, _Device, _DeviceOf)
for _kind, _name in zip(_CLASSES, ("Event", "Stream", "device", "device_of"), strict=True):
    _real = getattr(torch.cuda, _name)
    for _key in ("__module__", "__doc__", "__name__", "__qualname__"):
        setattr(_kind, _key, getattr(_real, _key))
    _kind.__signature__ = inspect.signature(_real)  # type: ignore[attr-defined]
