"""A model that a trace would unroll into too many operations is refused."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture import size_limit
from sdbackends.errors import CaptureError
from tests.capture.tracing import graph_of


class Chunked(torch.nn.Module):
    """A layer done row by row, as feed-forward chunking does it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.layer(row) for row in x.chunk(len(x))])


def test_too_many_operations_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limit, "LIMIT", 100)
    model = Chunked().eval()
    with pytest.raises(Exception, match="more than 100 operations") as caught:
        graph_of(model, torch.randn(200, 4))
    error = caught.value.inner_exception  # type: ignore[attr-defined]
    assert isinstance(error, CaptureError)
    assert "enable_attention_slicing" in error.fix
    x = torch.randn(200, 4)
    assert torch.allclose(model(x), model.layer(x), atol=1e-6)  # eager torch is as it was


def test_a_call_within_the_limit_is_captured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limit, "LIMIT", 100)
    nodes = graph_of(Chunked().eval(), torch.randn(20, 4)).export().graph.nodes
    assert sum(node.op == "aten.linear.default" for node in nodes) == 20
