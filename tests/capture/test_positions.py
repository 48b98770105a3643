"""Which inputs of a graph are positions in something, and what is said of one out of range."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture.direct import capture
from sdbackends.capture.positions import positions
from tests import tiny_models


class Rows(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 3)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        computed = torch.arange(2) + ids.shape[0]
        return self.table(ids.view(-1)[:2].int()) * scale + self.table(computed)


def test_ids_are_found_through_views_and_casts() -> None:
    graph = capture(Rows(), (torch.tensor([[1, 2]]), torch.ones(1))).graph
    (found,) = positions(graph)
    assert (found.place, found.low, found.high) == (0, 0, 5)
    assert found.fault([torch.tensor([[0, 4]])]) == ""
    assert found.fault([torch.empty(0, dtype=torch.int64)]) == ""
    assert found.fault([torch.tensor([[0, 5]])]).startswith("position 5 of 5 (aten.embedding")
    assert "position -1 of 5" in found.fault([torch.tensor([[-1, 4]])])


def test_what_a_model_computes_is_none() -> None:
    """The timestep of a UNet becomes sines; the end of a prompt is found by an argmax."""
    unet = tiny_models.unet()
    call = (torch.randn(1, 4, 8, 8), torch.tensor(5), torch.randn(1, 7, 16))
    assert positions(capture(unet, call).graph) == []
    ids = tiny_models.token_ids()
    assert [p.place for p in positions(capture(tiny_models.clip_text(), (ids,)).graph)] == [0]


@pytest.mark.parametrize("pick", ["index", "gather", "select"])
def test_other_ways_to_take_rows(pick: str) -> None:
    class Pick(torch.nn.Module):
        def forward(self, table: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            if pick == "index":
                return table[at]
            return table.gather(0, at) if pick == "gather" else table.index_select(0, at)

    (found,) = positions(capture(Pick(), (torch.ones(4), torch.tensor([0, 1]))).graph)
    assert (found.low, found.high) == (-4 if pick == "index" else 0, 4)
