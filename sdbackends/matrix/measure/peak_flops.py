"""What this machine can do at most, in a process of its own, which `matrix/peak_probe.py` starts.

Large products, convolutions of the shape that a UNet has, and copies, on the CPU and on the GPU
where torch has one: each long enough to be past its start, the best of several. What torch cannot
do in a precision is left out; so is what would take too long. The last line is JSON.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

Work = Callable[[], Any]
#: Seconds that one figure may take, and a call that takes longer than this is long enough.
_BUDGET, _LONG = 0.6, 0.08
#: Between two waits for a GPU: the smallest works are shorter than such a wait.
_CALLS = 10
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
#: Edges of square matrices; pixels of a side of a picture with 320 channels.
_EDGES = (256, 512, 1024, 2048, 4096, 8192)
_SIDES = (16, 32, 64, 128)
#: MiB; no cache holds as much.
_COPIED = {"cpu": 256, "cuda": 1024}
_CHANNELS, _BATCH = 320, 2


def measure() -> dict[str, Any]:
    """The fields of `results.Ceilings`."""
    matmul: dict[str, float] = {}
    conv: dict[str, float] = {}
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for precision, dtype in _DTYPES.items():
            name = precision if device == "cpu" else f"{device}/{precision}"
            _enter(matmul, name, _best(_matmul_rates(device, dtype)))
            if dtype.is_floating_point:
                _enter(conv, name, _best(_conv_rates(device, dtype)))
    return {"matmul": matmul, "conv": conv, "copy_bytes": _best(_copy_rates(devices[-1]))}


def _matmul_rates(device: str, dtype: torch.dtype) -> Iterator[float]:
    for how in ("highest", "medium") if dtype is torch.float32 else ("highest",):
        # "medium" may use shorter products for float32 where the chip has them: also a ceiling.
        torch.set_float32_matmul_precision(how)
        for edge in _EDGES:
            first, second = (_filled((edge, edge), device, dtype) for _ in range(2))
            multiply = torch._int_mm if dtype is torch.int8 else torch.matmul
            seconds, long = _seconds(device, partial(multiply, first, second))
            yield 2.0 * edge**3 / seconds
            if long:
                break


def _conv_rates(device: str, dtype: torch.dtype) -> Iterator[float]:
    torch.backends.cudnn.benchmark = True
    for layout in (torch.channels_last, torch.contiguous_format):
        for side in _SIDES:
            shape = (_BATCH, _CHANNELS, side, side)
            image = _filled(shape, device, dtype).contiguous(memory_format=layout)
            weight = _filled((_CHANNELS, _CHANNELS, 3, 3), device, dtype)
            weight = weight.contiguous(memory_format=layout)
            seconds, long = _seconds(device, partial(F.conv2d, image, weight, padding=1))
            yield 2.0 * _BATCH * side**2 * 9 * _CHANNELS**2 / seconds
            if long:
                break


def _copy_rates(device: str) -> Iterator[float]:
    """Bytes read and bytes written."""
    source = torch.zeros(_COPIED[device] << 20, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    seconds, _ = _seconds(device, partial(target.copy_, source))
    yield 2.0 * source.numel() / seconds


def _seconds(device: str, work: Work) -> tuple[float, bool]:
    """Of the fastest call, and whether a larger one would tell no more."""
    if device == "cuda":
        work()  # libraries are loaded and a kernel is chosen: seconds that tell nothing
    begun = _timed(device, work)
    if begun > _BUDGET:  # far too slow for this precision; once is enough to know
        return begun, True
    fastest, until = float("inf"), time.perf_counter() + _BUDGET / len(_EDGES)
    while fastest == float("inf") or time.perf_counter() < until:
        fastest = min(fastest, _timed(device, work))
    return fastest, fastest > _LONG


def _timed(device: str, work: Work) -> float:
    """One call. On a GPU the mean of several, so that starting and waiting do not count."""
    if device == "cpu":
        begun = time.perf_counter()
        work()
        return max(time.perf_counter() - begun, 1e-9)
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(_CALLS):
        work()
    torch.cuda.synchronize()
    return max((time.perf_counter() - begun) / _CALLS, 1e-9)


def _best(rates: Iterator[float]) -> float | None:
    """The largest; what torch refuses in the middle ends the series."""
    best = None
    with contextlib.suppress(RuntimeError, NotImplementedError):
        for rate in rates:
            best = rate if best is None else max(best, rate)
    return best


def _filled(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> torch.Tensor:
    if dtype is torch.int8:
        return torch.ones(shape, dtype=dtype, device=device)
    return torch.randn(shape, device=device).to(dtype)


def _enter(table: dict[str, float], name: str, rate: float | None) -> None:
    if rate is not None:
        table[name] = rate


if __name__ == "__main__":
    print(json.dumps(measure()))
