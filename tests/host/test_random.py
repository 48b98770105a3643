"""`SD_RNG=cuda`: which draws give a CUDA generator's numbers, and which do not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from sdbackends import session as activate
from sdbackends.host.philox import PhiloxStream


@pytest.fixture(autouse=True)
def cuda_numbers(enable: Any) -> activate.Session:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    session: activate.Session = enable(rng="cuda")
    return session


def expected(seed: int, count: int, offset: int = 0) -> torch.Tensor:
    return torch.from_numpy(PhiloxStream(seed, offset).normal(count))


def cuda_generator(seed: int) -> torch.Generator:
    return torch.Generator("cuda").manual_seed(seed)


@pytest.mark.parametrize("device", ["cuda", "cpu", None])
def test_a_cuda_generator_gives_them_wherever_the_tensor_is(device: str | None) -> None:
    g = cuda_generator(0)
    drawn = torch.randn((2, 3), generator=g, device=device)
    assert torch.equal(drawn.flatten(), expected(0, 6)) and drawn.shape == (2, 3)
    assert torch.equal(torch.empty(5).normal_(generator=g), expected(0, 5, offset=4))


@pytest.mark.parametrize("seed", [torch.manual_seed, torch.cuda.manual_seed])
def test_the_default_generator_of_cuda(seed: Any) -> None:
    getattr(torch.cuda if seed is not torch.manual_seed else torch, seed.__name__)(42)
    assert torch.equal(torch.randn(4, device="cuda"), expected(42, 4))
    assert torch.equal(torch.randn(2, 2, device="cuda:0").flatten(), expected(42, 4, offset=4))
    torch.cuda.manual_seed(42)
    with torch.device("cuda"):
        assert torch.equal(torch.randn(4), expected(42, 4))


def test_cpu_draws_stay_the_cpus() -> None:
    def draws() -> list[torch.Tensor]:
        torch.manual_seed(0)
        g = torch.Generator().manual_seed(1)
        return [torch.randn(3), torch.rand(3, generator=g), torch.randint(9, (3,)).float()]

    here = draws()
    activate.close_all()
    assert all(torch.equal(a, b) for a, b in zip(here, draws(), strict=True))


def test_like_follows_the_script() -> None:
    torch.manual_seed(3)
    like = torch.zeros(4)
    before = torch.randn_like(like)
    torch.ones(1).to("cuda")
    assert torch.equal(torch.randn_like(like), expected(3, 4))
    assert not torch.equal(before, expected(3, 4))


def test_rand_as_a_gpu_prints_it() -> None:
    torch.manual_seed(0)
    published = [0.3990, 0.5167, 0.0249, 0.9401, 0.9459, 0.7967]
    assert torch.rand(6, device="cuda").tolist() == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_rounded_floats(dtype: torch.dtype) -> None:
    drawn = torch.randn(100, generator=cuda_generator(5), dtype=dtype)
    assert torch.equal(drawn, expected(5, 100).to(dtype))
    # Rounding up to the open bound is turned around to the closed one.
    uniform = torch.rand(200_000, generator=cuda_generator(5), dtype=dtype)
    assert uniform.max() < 1 and uniform.min() == 0


def test_double() -> None:
    drawn = torch.randn(4, generator=cuda_generator(5), dtype=torch.float64)
    assert drawn.tolist() == PhiloxStream(5).normal_double(4).tolist()


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: torch.randint(10, (4,), generator=g),
        lambda g: torch.randint(0, 10, (4,), generator=g),
        lambda g: torch.randint(high=10, size=(4,), generator=g),
        lambda g: torch.empty(4, dtype=torch.int64).random_(10, generator=g),
        lambda g: torch.empty(4, dtype=torch.int64).random_(0, 10, generator=g),
    ],
)
def test_integers(draw: Any) -> None:
    drawn = draw(cuda_generator(2))
    assert drawn.dtype is torch.int64
    assert drawn.tolist() == PhiloxStream(2).integers(4, 0, 10).tolist()


def test_an_empty_range_is_an_error_as_in_torch() -> None:
    with pytest.raises(RuntimeError, match="less than"):
        torch.randint(5, 5, (2,), generator=cuda_generator(0))


def test_kernels_fill_memory_in_its_own_order() -> None:
    tensor = torch.empty(1, 2, 3, 4).to(memory_format=torch.channels_last)
    tensor.normal_(generator=cuda_generator(8))
    assert torch.equal(tensor.permute(0, 2, 3, 1).flatten(), expected(8, 24))


def test_arguments_of_the_distributions() -> None:
    normal = torch.empty(9).normal_(5, 2, generator=cuda_generator(4))
    assert torch.allclose(normal, expected(4, 9) * 2 + 5)
    uniform = torch.empty(99).uniform_(-2, 3, generator=cuda_generator(4))
    assert -2 <= uniform.min() < -1 and 2 < uniform.max() < 3
    drawn = torch.randn(3, generator=cuda_generator(4), requires_grad=True)
    assert drawn.requires_grad and drawn.is_leaf


def test_states() -> None:
    g = cuda_generator(6)
    torch.randn(3, generator=g)
    state = g.get_state()
    first = torch.randn(3, generator=g)
    assert torch.equal(torch.randn(3, generator=cuda_generator(0).set_state(state)), first)
    for twin in (copy.deepcopy(g), pickle.loads(pickle.dumps(g)), g.clone_state()):
        assert twin.get_state().tolist() == g.get_state().tolist()
    torch.cuda.set_rng_state(state)
    assert torch.equal(torch.randn(3, device="cuda"), first)


def test_diffusers_without_a_generator() -> None:
    torch_utils = pytest.importorskip("diffusers.utils.torch_utils")
    torch.manual_seed(1)
    on_cpu = torch_utils.randn_tensor((1, 3))
    torch.ones(1).cuda()
    assert torch.equal(torch_utils.randn_tensor((1, 3)).flatten(), expected(1, 3))
    assert not torch.equal(on_cpu.flatten(), expected(1, 3))
    generators = [cuda_generator(1), cuda_generator(2)]
    drawn = torch_utils.randn_tensor((2, 3), generator=generators, device=torch.device("cpu"))
    assert torch.equal(drawn, torch.stack([expected(1, 3), expected(2, 3)]))
