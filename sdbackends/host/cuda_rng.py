"""`SD_RNG=cuda`: what the script draws "on cuda" are the numbers that a CUDA generator gives.

That holds for generators made with `torch.Generator("cuda")`, for draws that name a CUDA device,
and, once the script has used "cuda", for diffusers' `randn_tensor` without a generator and for the
`*_like` functions: their tensors would be on the GPU. CPU generators keep their own numbers, as
they do beside a GPU. `randperm`, dropout and other distributions stay the CPU's.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from sdbackends.host import cuda, cuda_api, stand_in
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches
from sdbackends.host.philox import PhiloxStream

_default: CudaGenerator | None = None


class CudaGenerator(type(torch.default_generator)):  # type: ignore[misc]
    """`torch.Generator("cuda")`: a Philox stream; to C++ it is a CPU generator."""

    def __init__(self, device: Any = None) -> None:
        self.stream = PhiloxStream()

    def manual_seed(self, seed: int) -> CudaGenerator:
        self.stream = PhiloxStream(int(seed))
        return self

    def seed(self) -> int:
        # Taken from the system, as for every generator.
        self.stream = PhiloxStream(torch.Generator().seed())
        return self.stream.seed

    def initial_seed(self) -> int:
        return self.stream.seed

    def get_offset(self) -> int:
        return self.stream.offset

    def set_offset(self, offset: int) -> CudaGenerator:
        self.stream.offset = int(offset)
        return self

    def get_state(self) -> torch.Tensor:
        """Sixteen bytes, seed and offset, as a CUDA generator gives them."""
        numbers = [self.stream.seed & 0xFFFFFFFFFFFFFFFF, self.stream.offset]
        raw = b"".join(number.to_bytes(8, "little") for number in numbers)
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8)

    def set_state(self, state: torch.Tensor) -> CudaGenerator:
        raw = bytes(state.tolist())
        self.stream = PhiloxStream(*(int.from_bytes(raw[at : at + 8], "little") for at in (0, 8)))
        return self

    def clone_state(self) -> CudaGenerator:
        return CudaGenerator().set_state(self.get_state())

    def __reduce__(self) -> Any:
        return _restored, (self.stream.seed, self.stream.offset)


def _restored(seed: int, offset: int) -> CudaGenerator:
    generator = CudaGenerator()
    generator.stream = PhiloxStream(seed, offset)
    return generator


def apply(patches: Patches) -> None:
    """Lay the CUDA numbers over the CUDA stand-in, unless a session around this one has."""
    global _default
    if _default is not None:
        return
    _default = CudaGenerator()
    patches.on_undo("CUDA numbers", _forget_default)
    patches.set(cuda, "cuda_generator", CudaGenerator)
    _lay_seeds(patches, _default)
    for name in ("randn", "rand", "randint", "randn_like", "rand_like", "randint_like"):
        stand_in.apply(patches, torch, name, functools.partial(_factory, name))
    for name in ("normal_", "uniform_", "random_"):
        stand_in.apply(patches, torch.Tensor, name, functools.partial(_in_place, name))
    when_imported("diffusers.utils.torch_utils", lambda m: _lay_diffusers(m, patches), patches)


def _forget_default() -> None:
    global _default
    _default = None


def _lay_seeds(patches: Patches, default: CudaGenerator) -> None:
    # torch.manual_seed() calls manual_seed_all() of torch.cuda.
    def manual_seed(seed: int) -> None:
        default.manual_seed(seed)

    seeds: dict[str, Callable[..., Any]] = {
        "manual_seed": manual_seed,
        "manual_seed_all": manual_seed,
        "seed": lambda: (default.seed(), None)[1],
        "seed_all": lambda: (default.seed(), None)[1],
        "initial_seed": default.initial_seed,
        "get_rng_state": lambda device="cuda": default.get_state(),
        "get_rng_state_all": lambda: [default.get_state()],
        "set_rng_state": lambda state, device="cuda": (default.set_state(state), None)[1],
        "set_rng_state_all": lambda states: (default.set_state(states[0]), None)[1],
    }
    for name, function in seeds.items():
        stand_in_ = cuda_api.like(getattr(torch.cuda, name), function)
        patches.set_function(torch.cuda, name, stand_in_)
    patches.set(torch.cuda, "default_generators", (default,))


def _stream(generator: Any, device: Any, *, like: bool = False) -> PhiloxStream | None:
    """The stream to draw from; None: not CUDA's business."""
    if isinstance(generator, CudaGenerator):
        return generator.stream
    if generator is not None or _default is None or torch.compiler.is_compiling():
        return None
    if device is None:
        named = cuda.is_used() if like else cuda.means_cuda(torch.get_default_device())
    else:
        named = cuda.means_cuda(device)
    if not named:
        return None
    cuda.first_use()
    return _default.stream


def _factory(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.randn` and its kind: an empty tensor of the same arguments, then filled."""
    like = name.endswith("_like")
    bounds = name.startswith("randint")

    def factory(*args: Any, **kwargs: Any) -> Any:
        stream = _stream(kwargs.get("generator"), kwargs.get("device"), like=like)
        if stream is None:
            return real(*args, **kwargs)
        kwargs.pop("generator", None)
        needs_grad = kwargs.pop("requires_grad", False)
        span: tuple[int, int] | None = None
        if bounds:
            args, span = _bounds(args, kwargs, like=like)
            if not like and kwargs.get("out") is None:
                kwargs.setdefault("dtype", torch.int64)
        with torch.no_grad():
            tensor = (torch.empty_like if like else torch.empty)(*args, **kwargs)
            if span is not None:
                _fill_integers(tensor, stream, *span)
            else:
                _fill(tensor, stream, "normal" if name.startswith("randn") else "uniform", 0.0, 1.0)
        return tensor.requires_grad_(needs_grad)

    return factory


def _bounds(
    args: tuple[Any, ...], kwargs: dict[str, Any], *, like: bool
) -> tuple[tuple[Any, ...], tuple[int, int]]:
    """Take low and high out of `randint(low=0, high, size)` and `randint_like(t, low=0, high)`."""
    args = tuple(args)
    ahead, rest = (args[:1], args[1:]) if like else ((), args)
    if not like and rest and isinstance(rest[-1], (tuple, list, torch.Size)):
        ahead, rest = (rest[-1],), rest[:-1]
    numbers = [int(number) for number in rest]
    low, high = kwargs.pop("low", None), kwargs.pop("high", None)
    if high is None:
        high = numbers.pop()
    if low is None:
        low = numbers.pop() if numbers else 0
    return ahead, (int(low), int(high))


def _in_place(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """`tensor.normal_(generator=g)`: only a CUDA generator makes it CUDA's business.

    Without one the tensor may well be a model's weight, which is initialised before it is moved.
    """

    def in_place(self: torch.Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        if not isinstance(generator, CudaGenerator):
            return real(self, *args, generator=generator, **kwargs)
        with torch.no_grad():
            if name == "random_":
                _fill_integers(self, generator.stream, *_random_bounds(self, *args, **kwargs))
            elif name == "normal_":
                mean, std = _two(args, kwargs, ("mean", 0.0), ("std", 1.0))
                _fill(self, generator.stream, "normal", mean, std)
            else:
                low, high = _two(args, kwargs, ("from", 0.0), ("to", 1.0))
                _fill(self, generator.stream, "uniform", low, high)
        return self

    return in_place


def _two(
    args: tuple[Any, ...], kwargs: dict[str, Any], *named: tuple[str, float]
) -> tuple[float, float]:
    first, second = (
        float(args[at]) if at < len(args) else float(kwargs.get(name, default))
        for at, (name, default) in enumerate(named)
    )
    return first, second


def _random_bounds(tensor: torch.Tensor, *args: int, **kwargs: int) -> tuple[int, int]:
    """Of `random_()`, `random_(to)` and `random_(from, to)`."""
    numbers = [*args, *(kwargs[key] for key in ("from", "to") if key in kwargs)]
    if numbers:
        return (numbers[0], numbers[1]) if len(numbers) > 1 else (0, numbers[0])
    if tensor.dtype.is_floating_point:
        return 0, round(2 / torch.finfo(tensor.dtype).eps) + 1
    return 0, 2 if tensor.dtype is torch.bool else torch.iinfo(tensor.dtype).max + 1


def _fill(
    tensor: torch.Tensor, stream: PhiloxStream, kind: str, first: float, second: float
) -> None:
    """Normal: mean and standard deviation; uniform: from and to."""
    count = tensor.numel()
    if count == 0:
        return
    double = tensor.dtype is torch.float64
    numbers = torch.from_numpy(getattr(stream, f"{kind}_double" if double else kind)(count))
    if kind == "normal":
        values = numbers.mul_(second).add_(first).to(tensor.dtype)
    else:
        values = numbers.mul_(second - first).add_(first).to(tensor.dtype)
        # cuRAND's interval is open below and closed above; PyTorch turns it around.
        values[values == second] = first
    _in_memory_order(tensor, values)


def _fill_integers(tensor: torch.Tensor, stream: PhiloxStream, low: int, high: int) -> None:
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got {low} >= {high}")
    if tensor.numel():
        numbers = torch.from_numpy(stream.integers(tensor.numel(), low, high - low))
        _in_memory_order(tensor, numbers.to(tensor.dtype))


def _in_memory_order(tensor: torch.Tensor, values: torch.Tensor) -> None:
    """A kernel counts elements as they lie in memory, whatever the order of the dimensions."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    target = tensor.permute(order)
    target.copy_(values.view(target.shape))


def _lay_diffusers(torch_utils: ModuleType, patches: Patches) -> None:
    """`randn_tensor` without a generator: the models' tensors would be on the GPU."""
    real = torch_utils.randn_tensor

    @functools.wraps(real)
    def randn_tensor(
        shape: Any,
        generator: Any = None,
        device: Any = None,
        dtype: Any = None,
        layout: Any = None,
    ) -> Any:
        if generator is None and cuda.is_used():
            generator = _default
        return real(shape, generator=generator, device=device, dtype=dtype, layout=layout)

    # Pipelines import it by name: those that are loaded already hold the real one, and those that
    # are loaded from now on must not keep this one.
    patches.on_undo("randn_tensor", lambda: _replace_everywhere(randn_tensor, real))
    _replace_everywhere(real, randn_tensor)


def _replace_everywhere(old: Any, new: Any) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("diffusers.") and vars(module).get("randn_tensor") is old:
            module.randn_tensor = new  # type: ignore[attr-defined]
