"""What an nn.Graph will need is told from the captured graph, before there is one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sdbackends.capture.direct import capture
from sdbackends.capture.graph import Graph
from sdbackends.engines.oneflow.memory import PER_NODE, free_bytes, graph_bytes


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            x = F.silu(self.conv(x))
        return x


class Attention(torch.nn.Module):
    def forward(self, q: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, q, q)


def graph(size: int, times: int) -> Graph:
    return capture(Layers().eval(), (torch.zeros(1, 8, size, size), times)).graph


def test_every_result_counts_and_none_is_used_again() -> None:
    one, two, three = (graph_bytes(graph(32, times)) for times in (1, 2, 3))
    assert two - one == three - two
    image = 8 * 32 * 32 * 4
    assert two - one >= 2 * image + 2 * PER_NODE  # of the convolution and of silu


def test_it_grows_with_the_area() -> None:
    small, large = (graph_bytes(graph(size, 2)) - 4 * PER_NODE for size in (32, 64))
    assert large == pytest.approx(4 * small)


def test_the_scores_of_attention_count() -> None:
    attention = capture(Attention().eval(), (torch.zeros(2, 4, 512, 8),)).graph
    scores = 2 * 4 * 512 * 512 * 4
    assert 2 * scores < graph_bytes(attention) < 4 * scores


def test_free_memory_is_some_and_not_all() -> None:
    assert 0 < free_bytes() < 2**50
