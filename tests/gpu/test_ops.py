"""The operations that take a UNet's time, in bf16 on the card, against torch in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.engines.calls import ready

#: Of the largest value: 8 bits of mantissa, and sums in float32.
TOLERANCE = 2e-2


class Attention(torch.nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self._causal = causal

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self._causal)


def off(result: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, of the largest value."""
    return float((result.float() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("rows", "keys", "width", "causal"),
    [
        (4096, 4096, 40, False),
        (4096, 77, 40, False),
        (1024, 77, 80, False),
        (256, 77, 160, False),
        (1, 1, 160, False),
        (4096, 77, 64, False),
        (77, 77, 64, True),
    ],
)
def test_attention(
    place: torch.device, program: Any, rows: int, keys: int, width: int, causal: bool
) -> None:
    heads = 2 if place.type == "cpu" else 8
    q, k, v = (
        torch.randn(2, heads, count, width, device=place, dtype=torch.bfloat16)
        for count in (rows, keys, keys)
    )
    module = Attention(causal).eval()
    expected = module(q.float(), k.float(), v.float())
    assert off(program(module, "jax")(q, k, v), expected) < TOLERANCE


@pytest.mark.parametrize(
    ("kernel", "stride"), [(3, 1), (3, 2), (1, 1)], ids=["3x3", "3x3 stride 2", "1x1"]
)
def test_convolution(place: torch.device, program: Any, kernel: int, stride: int) -> None:
    module = ready(torch.nn.Conv2d(64, 32, kernel, stride, padding=kernel // 2))
    module = module.to(place, torch.bfloat16)
    x = torch.randn(2, 64, 32, 32, device=place, dtype=torch.bfloat16)
    expected = F.conv2d(x.float(), module.weight.float(), module.bias.float(), stride, kernel // 2)
    for name in ("jax", "compile"):
        assert off(program(module, name)(x), expected) < TOLERANCE


def test_group_norm(place: torch.device, program: Any) -> None:
    module = ready(torch.nn.GroupNorm(32, 64)).to(place, torch.bfloat16)
    x = torch.randn(2, 64, 32, 32, device=place, dtype=torch.bfloat16)
    expected = F.group_norm(x.float(), 32, module.weight.float(), module.bias.float())
    for name in ("jax", "compile"):
        assert off(program(module, name)(x), expected) < TOLERANCE
