"""When a model is replayed although an nn.Graph was asked for, and what is said about it."""

from __future__ import annotations

import pytest
import torch

from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.runtime.engine_pool import worker_environment
from tests.engines.calls import Call
from tests.engines.oneflow.helpers import build, worst
from tests.engines.oneflow.lowering_cases import rand


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.GroupNorm(4, 16)
        self.conv = torch.nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            x = torch.nn.functional.silu(self.conv(self.norm(x)))
        return x


def call(size: int) -> Call:
    return Call(Layers().eval().requires_grad_(False), (rand(1, 16, size, size),))


def test_the_estimate_is_what_is_taken() -> None:
    engine = OneflowEngine(
        EngineContext(options={"mode": "graph"}, worker=worker_environment("oneflow"))
    )
    try:
        build(engine, call(16)).run(call(16))  # the runtime's own share
        before = engine._worker.memory().rss
        built = build(engine, call(256))
        taken = engine._worker.memory().rss - before
        assert built.program._remote is not None
        assert taken == pytest.approx(built.program._remote.report["estimate_bytes"], rel=0.3)
    finally:
        engine.close()


def test_above_the_limit_the_model_is_replayed() -> None:
    options = {"mode": "graph", "graph_memory_limit": "20 MB"}
    engine = OneflowEngine(EngineContext(options=options, worker=worker_environment("oneflow")))
    try:
        large, small = call(128), call(16)
        built = build(engine, large)
        assert built.program.how.startswith("eager replay: nn.Graph would need ")
        assert built.program.how.endswith("the limit is 20.0 MB")
        assert worst(built.run(large), large.eager()) < 1e-5
        assert build(engine, small).program.how == "nn.Graph"
    finally:
        engine.close()


def test_graphs_that_are_there_count_towards_the_limit() -> None:
    options = {"mode": "graph", "graph_memory_limit": "20 MB"}
    engine = OneflowEngine(EngineContext(options=options, worker=worker_environment("oneflow")))
    try:
        built = [build(engine, call(48)) for _ in range(5)]
        assert built[0].program.how == "nn.Graph"
        assert "of other graphs, the limit is 20.0 MB" in built[-1].program.how
    finally:
        engine.close()


def test_what_oneflow_refuses_is_replayed_and_so_is_all_that_follows() -> None:
    """A graph of an op without a kernel; OneFlow would abort at the next one it is given."""
    engine = OneflowEngine(
        EngineContext(options={"mode": "graph"}, worker=worker_environment("oneflow"))
    )
    try:
        rows = torch.arange(6, dtype=torch.uint8).reshape(3, 2)
        refused = Call(Rows().eval(), (rows, torch.tensor([2, 0])))
        assert "OneFlow refused the nn.Graph" in build(engine, refused).program.how
        after = call(16)
        built = build(engine, after)
        assert "aborts after an nn.Graph" in built.program.how
        assert worst(built.run(after), after.eager()) < 1e-5
    finally:
        engine.close()


class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x.index_select(0, index)
