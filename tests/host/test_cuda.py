"""On a machine without CUDA, everything that a script does with "cuda" works on the CPU."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from sdbackends.host import cuda, cuda_api

pytestmark = pytest.mark.usefixtures("no_cuda")
CUDA = torch.device("cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", CUDA, torch.device("cuda", 0)])
@pytest.mark.parametrize(
    "make",
    [
        lambda d: torch.randn(2, 3, device=d),
        lambda d: torch.zeros(3, device=d, dtype=torch.float16),
        lambda d: torch.ones_like(torch.ones(2), device=d),
        lambda d: torch.full((2,), 3, device=d),
        lambda d: torch.arange(0, 1, 0.25, device=d),
        lambda d: torch.linspace(0, 1, 5, device=d),
        lambda d: torch.eye(3, device=d),
        lambda d: torch.randint(0, 5, (3,), device=d),
        lambda d: torch.randperm(4, device=d),
        lambda d: torch.tensor([1.0, 2.0], device=d),
        lambda d: torch.as_tensor(np.ones(3), device=d),
        lambda d: torch.asarray([1, 2], device=d),
        lambda d: torch.empty_strided((2, 2), (1, 2), device=d),
        lambda d: torch.tril_indices(3, 3, device=d),
        lambda d: torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,), device=d),
        lambda d: torch.ones(2).to(d),
        lambda d: torch.ones(2).to(device=d, dtype=torch.float64, non_blocking=True),
        lambda d: torch.ones(2).to(d, torch.float16).cpu(),
        lambda d: torch.ones(2).cuda(d if isinstance(d, torch.device) else 0),
        lambda d: torch.ones(2).new_tensor([1, 2], device=d),
        lambda d: torch.ones(2).new_zeros(3, device=d),
        lambda d: torch.nn.Linear(2, 3, device=d).weight,
        lambda d: torch.nn.Linear(2, 3).to(d).weight,
        lambda d: torch.nn.Linear(2, 3).to(device=d).cuda().weight,
        lambda d: torch.nn.Parameter(torch.ones(1, device=d)),
    ],
)
def test_tensors_are_made_on_the_cpu(make: Any, device: Any) -> None:
    assert make(device).device.type == "cpu"


def test_values_and_kinds_are_kept() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(x.to("cuda"), x) and x.to(0) is x
    assert x.to("cuda", torch.float16).dtype is torch.float16
    assert x.to(torch.int64).dtype is torch.int64 and x.to("meta").is_meta
    assert torch.zeros(2, device="meta").is_meta
    module = torch.nn.Linear(2, 2)
    weight = module.weight
    assert module.to("cuda") is module and module.weight is weight


def test_gradients_flow() -> None:
    leaf = torch.ones(2, device="cuda", requires_grad=True)
    moved = torch.ones(2, requires_grad=True)
    ((leaf + moved.to("cuda:0")) * 3).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [3, 3]
    assert moved.grad is not None and moved.grad.tolist() == [3, 3]


def test_default_devices() -> None:
    with torch.device("cuda"):
        assert torch.tensor([1.0]).device.type == torch.randn(2).device.type == "cpu"
        with torch.device("meta"):
            assert torch.tensor([1.0]).is_meta
    torch.set_default_device("cuda")
    try:
        assert torch.get_default_device().type == "cuda" and torch.zeros(2).device.type == "cpu"
    finally:
        torch.set_default_device(None)


def test_generators() -> None:
    g = torch.Generator("cuda").manual_seed(3)
    assert isinstance(g, torch.Generator) and isinstance(torch.default_generator, torch.Generator)
    assert issubclass(type(g), torch.Generator) and not isinstance(1, torch.Generator)
    first = torch.randn(2, generator=g, device="cuda")
    again = torch.randn(2, generator=torch.Generator(device=CUDA).manual_seed(3))
    assert torch.equal(first, again)
    assert torch.Generator().device.type == torch.Generator("cpu").device.type == "cpu"
    assert pickle.loads(pickle.dumps(g)).initial_seed() == 3


def test_seeds() -> None:
    torch.cuda.manual_seed_all(5)
    first = torch.randn(3, device="cuda")
    torch.manual_seed(5)
    state = torch.cuda.get_rng_state()
    assert torch.equal(first, torch.randn(3, device="cuda"))
    torch.cuda.set_rng_state(state)
    assert torch.equal(first, torch.randn(3))


@pytest.mark.parametrize(
    "context",
    [
        lambda: torch.autocast("cuda"),
        lambda: torch.autocast("cuda", dtype=torch.float16),
        lambda: torch.amp.autocast("cuda"),
        pytest.param(
            lambda: torch.cuda.amp.autocast(),
            marks=pytest.mark.filterwarnings("ignore::FutureWarning"),
        ),
    ],
)
def test_autocast_is_float32_on_the_cpu(context: Any) -> None:
    """It brings tensors of two dtypes together, as on CUDA."""
    x, half = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float16)
    with context():
        assert torch.is_autocast_enabled("cpu")
        assert (x @ x).dtype is (half @ x).dtype is torch.float32
    assert context()(lambda: (half @ x).dtype)() is torch.float32
    with context(), torch.autocast("cuda", enabled=False):
        assert (half @ half).dtype is torch.float16


def test_autocast_of_bfloat16_is_what_the_script_says() -> None:
    x = torch.ones(2, 2)
    with torch.autocast(device_type="cuda", dtype=torch.bfloat16):
        assert (x @ x).dtype is torch.bfloat16
    assert (x @ x).dtype is torch.float32


def test_an_autocast_that_is_switched_off_puts_nothing_on_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Models write that around their rotary embeddings, whatever device they are on."""
    monkeypatch.setattr(cuda, "_used", False)
    with torch.autocast("cuda", enabled=False), torch.autocast("cuda", None, False, True):
        assert not cuda.is_used()
    with torch.autocast("cuda"):
        assert cuda.is_used()


@pytest.mark.parametrize("place", ["cuda", CUDA, "cuda:0", {"cuda:1": "cuda:0"}, None, "cpu"])
def test_checkpoints(tmp_path: Path, place: Any) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", map_location=place)["a"].tolist() == [1, 1]


def test_the_functions_of_torch_cuda() -> None:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    torch.cuda.synchronize()
    end.record()
    assert start.elapsed_time(end) >= 0 and end.query()
    torch.cuda.empty_cache()
    torch.cuda.ipc_collect()
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == torch.cuda.memory_reserved("cuda") == 0
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert torch.cuda.get_device_capability() >= (8, 0)
    assert torch.cuda.get_device_properties("cuda").total_memory == total
    assert "sdbackends" in torch.cuda.get_device_name(0)
    with torch.cuda.device(0), torch.cuda.stream(torch.cuda.Stream()), torch.cuda.nvtx.range("x"):
        torch.cuda.set_device(torch.cuda.current_device())
    torch.cuda.current_stream().wait_stream(torch.cuda.Stream())
    torch.ones(2).pin_memory().record_stream(torch.cuda.current_stream())
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)


def test_is_available_is_the_truth() -> None:
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    assert not torch.cuda.is_bf16_supported() and not torch.cuda.is_initialized()
    assert torch.cuda.get_arch_list() == []


def test_sd_cuda_is_for_scripts_that_refuse_to_start_without(enable: Any) -> None:
    with enable(cuda=True):
        assert torch.cuda.is_available() and torch.cuda.device_count() == 1
        assert torch.cuda.is_initialized() and torch.cuda.is_bf16_supported()
    assert not torch.cuda.is_available()


@pytest.mark.parametrize("library", ["torch._inductor.x", "diffusers.utils", "accelerate", "peft"])
def test_libraries_hear_that_there_is_no_cuda(enable: Any, library: str) -> None:
    enable(cuda=True)
    asking = ModuleType(library)
    code = "import torch\nanswers = torch.cuda.is_available(), torch.cuda.device_count()"
    exec(code, vars(asking))
    assert asking.answers == (False, 0)
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        exec("torch.cuda.get_device_properties(0)", vars(asking))


def test_every_stand_in_is_an_object_of_its_own() -> None:
    # torch.compile refuses two names of torch for one function.
    laid = [getattr(torch.cuda, n) for n in {**cuda_api._actions(), **cuda_api._answers()}]
    assert len({id(function) for function in laid}) == len(laid)


def test_the_line_is_said_once_and_at_the_first_use(capfd: pytest.CaptureFixture[str]) -> None:
    torch.cuda.is_available()
    torch.randn(2, device="cpu").to(torch.float64)
    assert "CUDA" not in capfd.readouterr().err
    torch.zeros(1, device="cuda")
    torch.ones(1).to("cuda")
    assert capfd.readouterr().err.count("'cuda' means torch on the CPU") == 1


class Moves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([1.0, 2.0], device=x.device) + x.to(torch.float64).to("cpu")


def test_export_sees_no_stand_in() -> None:
    program = torch.export.export(Moves(), (torch.ones(2),), strict=False)
    assert program.module()(torch.ones(2)).tolist() == [2, 3]


def test_compile_sees_no_stand_in() -> None:
    script = """
    import torch
    from sdbackends.session import enable
    from sdbackends.settings import BackendChoice, Settings
    def f(x):
        zeros = torch.zeros(2) + torch.zeros_like(x) + x.new_zeros(2) + torch.arange(2) * 0
        moved = x.to(torch.float64).type(torch.float32)
        return torch.tensor([1.0, 2.0]) + moved + torch.rand(2) * 0 + zeros
    def check():
        torch._dynamo.reset()
        assert torch.compile(f, backend="eager", fullgraph=True)(torch.ones(2)).tolist() == [2, 3]
    with enable(Settings(backend=BackendChoice("torch"))):
        check()
    check()
    with enable(Settings(backend=BackendChoice("torch"))):
        check()
    """
    lines = [line.removeprefix("    ") for line in script.splitlines()]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_modules_copy() -> None:
    module = copy.deepcopy(torch.nn.Linear(2, 2).cuda())
    assert module(torch.ones(1, 2, device="cuda")).shape == (1, 2)
