"""Many calls: shapes that take turns, memory that stays flat, inputs of every kind."""

from __future__ import annotations

import torch

from sdbackends.capture.direct import capture
from sdbackends.capture.dynamo_graph import DynamoGraph
from sdbackends.engines.base import EngineContext
from sdbackends.engines.oneflow.engine import OneflowEngine
from sdbackends.runtime.engine_pool import worker_environment
from tests import tiny_models
from tests.engines.calls import Call
from tests.engines.oneflow.helpers import build, worst

SIZES = ((1, 8, 8), (2, 8, 8), (1, 16, 8), (1, 8, 16), (2, 16, 16))


def unet_call(module, batch: int, height: int, width: int, seed: int = 0) -> Call:
    made = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch, 4, height, width, generator=made)
    prompt = torch.randn(batch, 7, 16, generator=made)
    return Call(module, (latents, torch.tensor(10 + seed), prompt), {"return_dict": False})


def test_200_calls_in_5_shapes_are_right_and_leak_nothing(engine) -> None:
    unet = tiny_models.unet()
    programs = [build(engine, unet_call(unet, *size)) for size in SIZES]

    def go_round(calls: int) -> None:
        for number in range(calls):
            call = unet_call(unet, *SIZES[number % 5], seed=number)
            result = programs[number % 5].run(call)
            assert worst(result, call.eager()) < 1e-5, f"call {number}"

    go_round(50)  # until every pool of memory has its size
    before = engine._worker.memory().rss
    go_round(200)
    grown = engine._worker.memory().rss - before
    assert grown < 8e6, f"the worker grew by {grown / 1e6:.1f} MB in 200 calls"


def test_programs_that_come_and_go_leak_little(engine) -> None:
    """As an LRU that is too small for the shapes would do it. One stays: it keeps the weights."""
    clip, ids = tiny_models.clip_text(), tiny_models.token_ids()
    calls = [Call(clip, (ids[:, :length],), {"return_dict": False}) for length in range(4, 9)]
    captures = [capture(clip, call.args, call.kwargs) for call in calls]
    stays = build(engine, Call(clip, (ids[:, :9],), {"return_dict": False}))

    def go_round(times: int) -> None:
        for number in range(times):
            call, captured = calls[number % 5], captures[number % 5]
            built = build(engine, call, captured)
            assert worst(built.run(call), call.eager()) < 1e-5
            built.program.close()

    go_round(10)
    before = engine._worker.memory().rss
    go_round(20)
    grown = engine._worker.memory().rss - before
    assert grown < 20e6, f"the worker grew by {grown / 1e6:.1f} MB in 20 builds"
    stays.program.close()


def test_inputs_that_are_views(engine) -> None:
    """Expanded, strided and transposed inputs: OneFlow's nn.Graph would write into them."""
    unet = tiny_models.unet()
    latents = torch.randn(1, 8, 8, 4).permute(0, 3, 1, 2).expand(2, -1, -1, -1)
    timesteps = torch.tensor([751, 501, 251])[1].reshape(1).expand(2)
    call = Call(unet, (latents, timesteps, torch.randn(7, 2, 16).transpose(0, 1)))
    call.kwargs["return_dict"] = False
    kept = [tensor.clone() for tensor in call.tensors()]
    built = build(engine, call)
    for _ in range(3):
        assert worst(built.run(call), call.eager()) < 1e-5
    assert all(torch.equal(a, b) for a, b in zip(call.tensors(), kept, strict=True))


def test_above_the_memory_limit_it_replays_eagerly_and_says_so(capsys) -> None:
    options = {"mode": "graph", "graph_memory_limit": "1 MB"}
    engine = OneflowEngine(EngineContext(options=options, worker=worker_environment("oneflow")))
    try:
        unet = tiny_models.unet()
        call = unet_call(unet, 2, 16, 16)
        built = build(engine, call)
        assert "eager replay" in built.program.how and "MB" in built.program.how
        assert worst(built.run(call), call.eager()) < 1e-5
    finally:
        engine.close()


class Foreign(torch.nn.Module):
    """Two ops that OneFlow has nothing for, at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Fourier(), Fourier()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.second(x)


class Fourier(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.ifft(torch.fft.fft(x)).real


def test_what_it_cannot_take_is_named_with_all_places(engine) -> None:
    captures = []

    def keep(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        captures.append(DynamoGraph(graph, inputs).export())
        return graph

    torch.compile(Foreign(), backend=keep)(torch.randn(2, 8))
    (captured,) = captures
    missing = {op.op: op.sites for op in engine.unsupported(captured.graph)}
    (name,) = [op for op in missing if op.startswith("aten._fft_c2c")]
    assert "complex64 on cpu" in name
    assert [site.path for site in missing[name]][-1].startswith("second")


def test_bfloat16_is_refused_before_anything_is_built(engine) -> None:
    clip = tiny_models.clip_text().to(torch.bfloat16)
    captured = capture(clip, (tiny_models.token_ids(),), {"return_dict": False})
    assert "bfloat16 on cpu" in " ".join(op.op for op in engine.unsupported(captured.graph))
    assert engine._worker.memory().rss > 0, "the worker that said so goes on"
