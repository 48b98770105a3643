"""Generators and everything that draws: the numbers are torch's, whatever OneFlow's would be.

A CPU generator gives torch's Mersenne Twister, bit by bit; a CUDA one the Philox numbers that a
GPU gives. Both are computed in numpy, so the same seed draws the same picture as on torch.
The initialisers of `torch.nn.init` stay OneFlow's: loaded weights replace what they drew.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.host.philox import PhiloxStream
from sdbackends.oneflow_host.creation import cleaned
from sdbackends.oneflow_host.devices import as_device
from sdbackends.oneflow_host.dtypes import usable
from sdbackends.oneflow_host.mt19937 import DEFAULT_SEED, Mt19937Stream
from sdbackends.oneflow_host.registry import PROVIDED, provides, tensor_method


@provides("torch.Generator")
class Generator:
    """`torch.Generator`: a stream of numbers and the device whose numbers they are."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = as_device("cpu" if device is None else device)
        self._begin(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        self._begin(int(seed))
        return self

    def seed(self) -> int:
        self._begin(secrets.randbits(53))
        return int(self.stream.seed)

    def initial_seed(self) -> int:
        return int(self.stream.seed)

    def get_state(self) -> Any:
        """Opaque, for `set_state` alone."""
        return self.stream.seed, self.stream.state

    def set_state(self, state: Any) -> Generator:
        seed, inside = state
        self._begin(seed)
        self.stream.state = inside
        return self

    def _begin(self, seed: int) -> None:
        cuda = self.device.type == "cuda"
        self.stream: Any = PhiloxStream(seed) if cuda else Mt19937Stream(seed)


default_generator = Generator()
PROVIDED["torch.default_generator"] = PROVIDED["torch.random.default_generator"] = default_generator


@provides("torch.manual_seed", "torch.random.manual_seed")
def manual_seed(seed: int) -> Generator:
    # OneFlow's own generators too: its dropout and its initialisers draw from them.
    flow.manual_seed(int(seed))
    return default_generator.manual_seed(seed)


@provides("torch.seed", "torch.random.seed")
def seed() -> int:
    return default_generator.seed()


@provides("torch.initial_seed", "torch.random.initial_seed")
def initial_seed() -> int:
    return default_generator.initial_seed()


@provides("torch.get_rng_state", "torch.random.get_rng_state")
def get_rng_state() -> Any:
    return default_generator.get_state()


@provides("torch.set_rng_state", "torch.random.set_rng_state")
def set_rng_state(state: Any) -> None:
    default_generator.set_state(state)


@provides("torch.randn")
def randn(*size: Any, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    return _made("torch.randn", "normal", _sizes(size, kwargs), generator, dtype, kwargs)


@provides("torch.rand")
def rand(*size: Any, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    return _made("torch.rand", "uniform", _sizes(size, kwargs), generator, dtype, kwargs)


@provides("torch.randn_like")
def randn_like(input: Any, *, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    return _like("torch.randn_like", "normal", input, generator, dtype, kwargs)


@provides("torch.rand_like")
def rand_like(input: Any, *, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    return _like("torch.rand_like", "uniform", input, generator, dtype, kwargs)


@provides("torch.randint")
def randint(*args: Any, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    """`randint(high, size)` or `randint(low, high, size)`."""
    named = {name: kwargs.pop(name) for name in ("low", "high", "size") if name in kwargs}
    size = named["size"] if "size" in named else args[-1]
    bounds = [*args[: len(args) - ("size" not in named)]]
    high = named["high"] if "high" in named else bounds.pop()
    low = named.get("low", bounds[0] if bounds else 0)
    count = int(np.prod(size, dtype=np.int64))
    numbers = _stream(generator).integers(count, low, high - low)
    return _tensor(numbers, size, flow.int64 if dtype is None else dtype, "torch.randint", kwargs)


@provides("torch.randperm")
def randperm(n: int, *, generator: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    stream = _stream(generator)
    if not isinstance(stream, Mt19937Stream):
        stream = default_generator.stream
    kind = flow.int64 if dtype is None else dtype
    return _tensor(stream.permutation(n), (n,), kind, "torch.randperm", kwargs)


@provides("torch.normal")
def normal(mean: Any, std: Any, size: Any = None, *, generator: Any = None, **kwargs: Any) -> Any:
    shaped = next((x for x in (mean, std) if isinstance(x, flow.Tensor)), None)
    shape = tuple(shaped.shape) if shaped is not None else tuple(size)
    noise = _made("torch.normal", "normal", shape, generator, kwargs.pop("dtype", None), kwargs)
    return noise * std + mean


@tensor_method("normal_")
def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    return self.copy_(randn(*self.shape, generator=generator, dtype=self.dtype) * std + mean)


@tensor_method("uniform_")
def uniform_(self: Any, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Any:
    return self.copy_(rand(*self.shape, generator=generator, dtype=self.dtype) * (b - a) + a)


def _stream(generator: Any) -> Any:
    return (default_generator if generator is None else generator).stream


def _sizes(size: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    """`randn(2, 3)`, `randn((2, 3))` and `randn(size=(2, 3))`."""
    given = kwargs.pop("size", size)
    if len(given) == 1 and not isinstance(given[0], int):
        given = given[0]
    return tuple(int(n) for n in given)


def _made(
    dotted: str, kind: str, size: Any, generator: Any, dtype: Any, kwargs: dict[str, Any]
) -> Any:
    dtype = flow.get_default_dtype() if dtype is None else usable(dtype)
    double = dtype == flow.float64
    count = int(np.prod(size, dtype=np.int64))
    numbers = getattr(_stream(generator), f"{kind}_double" if double else kind)(count)
    return _tensor(numbers, size, dtype, dotted, kwargs)


def _like(
    dotted: str, kind: str, input: Any, generator: Any, dtype: Any, kwargs: dict[str, Any]
) -> Any:
    kwargs.setdefault("device", input.device)
    return _made(dotted, kind, tuple(input.shape), generator, dtype or input.dtype, kwargs)


def _tensor(numbers: Any, size: Any, dtype: Any, dotted: str, kwargs: dict[str, Any]) -> Any:
    kept = cleaned(dotted, kwargs)
    result = flow.from_numpy(np.ascontiguousarray(numbers).reshape(tuple(size)))
    if result.dtype != dtype:
        result = result.to(dtype)
    if "device" in kept:
        result = result.to(kept["device"])
    return result.requires_grad_() if kept.get("requires_grad") else result
