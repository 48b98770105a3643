"""Tensors between torch and JAX on one card: order of streams, lifetimes, alignment, weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.engines.calls import ready

#: Rounds in which a race would have to lose every time to stay unseen.
ROUNDS = 200


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return x * times + self.weight


def busy(place: torch.device, size: int = 2048) -> torch.Tensor:
    """A matrix that the device is still computing when this comes back: all ones."""
    made = torch.ones(size, size, device=place) / size
    for _ in range(8):
        made = made @ made.new_ones(size, size)
        made = made / made.amax()
    return made


def test_what_torch_still_computes_is_there_for_jax(place: torch.device, jax_place: Any) -> None:
    import jax.numpy as jnp

    from sdbackends.engines.jax.dlpack import to_jax

    generator = torch.Generator().manual_seed(0)
    size = 512 if place.type == "cpu" else 2048
    for _ in range(5 if place.type == "cpu" else 100):
        rows = int(torch.randint(1, size, (), generator=generator))
        array = to_jax(busy(place, size)[:rows].contiguous(), jax_place)
        assert float(jnp.abs(array - 1).max()) < 1e-4


def test_what_jax_still_computes_is_there_for_torch(place: torch.device, jax_place: Any) -> None:
    import jax
    import jax.numpy as jnp

    from sdbackends.engines.jax.dlpack import to_torch

    size = 256 if place.type == "cpu" else 2048

    @jax.jit
    def slow(x: Any) -> Any:
        for _ in range(8):
            x = x @ jnp.ones_like(x) / x.shape[0]
        return x

    ones = jax.device_put(jnp.ones((size, size)), jax_place)
    for _ in range(20):
        tensor = to_torch(slow(ones), place, torch.float32)
        assert float((tensor - 1).abs().max()) < 1e-4


@pytest.mark.parametrize("offset", [1, 2, 3, 5])
def test_inputs_at_any_offset(place: torch.device, program: Any, offset: int) -> None:
    """XLA refuses parameters that are not aligned; a scheduler's steps are 4 bytes apart."""
    module = ready(Scaled()).to(place)
    call = program(module, "jax")
    steps = torch.linspace(1.0, 9.0, 9, device=place)
    x = torch.randn(offset + 64, device=place)[offset:]
    for step in steps.unbind():
        torch.testing.assert_close(call(x, step), module(x, step))


def test_an_input_may_be_written_right_after_the_call(place: torch.device, program: Any) -> None:
    module = ready(Scaled()).to(place)
    call = program(module, "jax")
    x, times = torch.ones(1 << 16, device=place), torch.full((), 2.0, device=place)
    call(x, times)
    expected = 2.0 + float(module.weight)
    for _ in range(ROUNDS):
        x.fill_(1.0)
        result = call(x, times)
        x.fill_(-7.0)
        assert float((result - expected).abs().max()) < 1e-5


def test_a_result_that_is_let_go_while_torch_reads_it(place: torch.device, program: Any) -> None:
    """Its memory comes back to JAX, which may use it for the next call."""
    module = ready(Scaled()).to(place)
    call = program(module, "jax")
    x = torch.arange(1 << 16, device=place, dtype=torch.float32)
    factors = [torch.full((), float(k), device=place) for k in range(1, ROUNDS + 1)]
    sums = [call(x, factor).double().sum() for factor in factors]
    whole, weight = float(x.double().sum()), float(module.weight)
    for factor, found in zip(factors, sums, strict=True):
        expected = whole * float(factor) + weight * x.numel()
        assert abs(float(found) - expected) < 1e-5 * expected


def test_a_weight_that_is_edited_or_moved(place: torch.device, program: Any) -> None:
    module = ready(torch.nn.Conv2d(8, 8, 3, padding=1)).to(place)
    x = torch.randn(1, 8, 16, 16, device=place)
    for name in ("jax", "compile"):
        call = program(module, name)
        call(x)
        for edit in (
            lambda: module.weight.mul_(2),
            lambda: module.weight.data.mul_(0.5),
            lambda: module.to("cpu").to(place),
            lambda: module.load_state_dict({k: v * 3 for k, v in module.state_dict().items()}),
        ):
            edit()
            torch.testing.assert_close(call(x), module(x), rtol=1e-3, atol=1e-3)


def test_integers_that_do_not_fit_are_refused(place: torch.device, jax_place: Any) -> None:
    from sdbackends.engines.jax.dlpack import to_jax
    from sdbackends.errors import RunError

    assert to_jax(torch.tensor([981], device=place), jax_place).dtype == "int32"
    with pytest.raises(RunError, match="32 bits"):
        to_jax(torch.tensor([2**40], device=place), jax_place)
