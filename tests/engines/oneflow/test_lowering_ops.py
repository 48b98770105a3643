"""Single ops with awkward arguments: torch's numbers, shapes and dtypes, in both modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sdbackends.capture.direct import capture
from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.errors import RunError
from sdbackends.runtime.engine_pool import worker_environment
from tests.engines.calls import Call
from tests.engines.oneflow.helpers import build, tensors_in
from tests.engines.oneflow.lowering_cases import GROUPS, Cases, Function, rand
from tests.engines.programs import distance

NAMES = [(group, name) for group, cases in GROUPS.items() for name in cases]
Results = dict[str, dict[str, tuple[Any, Any]]]


class Every(torch.nn.Module):
    """Many small functions as one model: one capture and one build for all of them."""

    def __init__(self, functions: dict[str, Function]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, args: dict[str, tuple[torch.Tensor, ...]]) -> dict[str, Any]:
        return {name: function(*args[name]) for name, function in self.functions.items()}


def one_call(cases: Cases) -> Call:
    functions = {name: function for name, (function, _) in cases.items()}
    return Call(Every(functions).eval(), ({name: args for name, (_, args) in cases.items()},))


@pytest.fixture(scope="module", params=["graph", "eager"])
def engine(request: pytest.FixtureRequest) -> Iterator[OneflowEngine]:
    engine = OneflowEngine(
        EngineContext(options={"mode": request.param}, worker=worker_environment("oneflow"))
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def results(engine: OneflowEngine) -> Results:
    """By group and case: what OneFlow gives, and what torch gives."""
    found: Results = {}
    wanted = engine.context.options["mode"]
    for group, cases in GROUPS.items():
        call = one_call(cases)
        built = build(engine, call)
        in_graph = wanted == "graph" and group != "empty"
        assert (built.program.how == "nn.Graph") is in_graph
        got, expected = built.run(call), call.eager()
        found[group] = {name: (got[name], expected[name]) for name in cases}
    return found


@pytest.mark.parametrize(("group", "name"), NAMES, ids=[f"{g}-{n}" for g, n in NAMES])
def test_op(group: str, name: str, results: Results) -> None:
    far = "far from zero" in name  # what float32 keeps of 1000 ± 1; one pass would keep nothing
    pairs = list(zip(*map(tensors_in, results[group][name]), strict=True))
    assert pairs
    for got, expected in pairs:
        assert distance(got, expected) < (2e-4 if far else 2e-6)


class Attention(torch.nn.Module):
    def forward(self, query: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, query, query)


def test_attention_in_pieces_is_the_whole(engine: OneflowEngine) -> None:
    """2 x 8 x 2500 x 2500 scores: eager replay takes the queries in two pieces.

    Held against float64: torch's own float32 kernel differs from one processor to the next.
    """
    query = rand(2, 8, 2500, 8)
    call = Call(Attention().eval(), (query,))
    exact = Attention()(query.double()).float()
    assert distance(build(engine, call).run(call), exact) < 2e-6


class Positions(torch.nn.Module):
    """Token ids, and positions that are computed from a mask, as XLM-R does."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(6, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.words(ids) + self.words(mask.cumsum(-1) + 1)


IDS, MASK = torch.tensor([[3, 5, 0]]), torch.tensor([[1, 1, 0]])


@pytest.mark.parametrize(
    ("ids", "mask"),
    [(torch.tensor([[3, 6, 0]]), MASK), (torch.tensor([[3, -1, 0]]), MASK), (IDS, MASK * 3)],
    ids=["too large", "negative", "computed"],
)
def test_a_position_out_of_range_is_an_error(
    engine: OneflowEngine, ids: torch.Tensor, mask: torch.Tensor
) -> None:
    """OneFlow itself answers with zeros, or aborts; the worker goes on after ours."""
    call = Call(Positions().eval(), (IDS, MASK))
    built = build(engine, call)
    with pytest.raises(RunError, match="out of range"):
        built.program([ids, mask])
    assert distance(built.run(call), call.eager()) < 2e-6


def test_random_numbers_are_no_op_of_ours(engine: OneflowEngine) -> None:
    """torch's generator must give the numbers, so the model stays with torch."""
    call = one_call({"noise": (lambda x: x + torch.randn(3), (rand(3),))})
    graph = capture(call.module, call.args).graph
    assert [missing.op for missing in engine.unsupported(graph)] == ["aten.randn.default"]


def test_half_precision_is_refused_on_a_cpu(engine: OneflowEngine) -> None:
    call = one_call({"half": (lambda x: x * 2, (rand(3).half(),))})
    graph = capture(call.module, call.args).graph
    ops = [missing.op for missing in engine.unsupported(graph)]
    assert any("float16 on cpu" in op for op in ops)


class Refused(torch.nn.Module):
    """What OneFlow's lowerings say that they do not take, each in a way that they would."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        some = ids[0]
        return [
            ids & 3,
            mask & mask,
            mask ^ 1,
            x.index_put((some,), x[some]),
            x.index_put((some,), x[some], accumulate=True),
            torch.nn.functional.scaled_dot_product_attention(x, x, x),
            torch.nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
            torch.nn.functional.conv1d(ids[None], torch.ones(1, 1, 1, dtype=torch.int64)),
        ]


def test_arguments_that_no_lowering_takes_are_reported_before_the_build(
    engine: OneflowEngine,
) -> None:
    graph = capture(Refused().eval(), (IDS, IDS > 0, rand(6, 4))).graph
    missing = engine.unsupported(graph)
    assert {one.op: len(one.sites) for one in missing} == {
        "aten.bitwise_and.Scalar (of integers)": 1,
        "aten.bitwise_xor.Scalar (of integers)": 1,
        "aten.convolution.default (of int64)": 1,
        "aten.index_put.default (with accumulate)": 1,
        "aten.scaled_dot_product_attention.default (with dropout)": 1,
    }
