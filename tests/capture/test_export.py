"""The captured graph computes what the module computes, and says what it is made of."""

from __future__ import annotations

import pytest
import torch

from sdbackends.capture.decompositions import KEPT_WHOLE
from sdbackends.capture.direct import capture, weights_of
from sdbackends.capture.graph import Graph, Ref
from sdbackends.errors import CaptureError
from tests import tiny_models
from tests.capture.tracing import graph_of
from tests.replay import ReplayEngine

CASES = {
    "unet, batch 1": lambda: (tiny_models.unet(), tiny_models.unet_inputs(1), {}),
    "unet, tuple": lambda: (tiny_models.unet(), tiny_models.unet_inputs(), {"return_dict": False}),
    "decoder": lambda: (tiny_models.autoencoder().decoder, (torch.randn(1, 4, 8, 8),), {}),
    "encoder": lambda: (tiny_models.autoencoder().encoder, (torch.randn(1, 3, 16, 16),), {}),
    "clip": lambda: (tiny_models.clip_text(), (tiny_models.token_ids(),), {}),
    "bert": lambda: (tiny_models.bert(), (tiny_models.token_ids(),), {}),
}


def replay(module, args, kwargs):
    captured = capture(module, args, kwargs)
    program = ReplayEngine().build(
        captured.graph, weights_of(module, captured.graph), captured.constants
    )
    tensors = [x for x in (*args, *dict(sorted(kwargs.items())).values()) if torch.is_tensor(x)]
    return captured, captured.result(program(tensors))


@pytest.mark.parametrize("case", CASES)
def test_replay_is_eager(case):
    torch.manual_seed(0)
    module, args, kwargs = CASES[case]()
    with torch.no_grad():
        expected = module(*args, **kwargs)
        _, result = replay(module, args, kwargs)
    assert type(result) is type(expected)
    first = expected[0] if not torch.is_tensor(expected) else expected
    got = result[0] if not torch.is_tensor(result) else result
    torch.testing.assert_close(got, first, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def unet():
    return tiny_models.unet()


@pytest.fixture(scope="module")
def captured(unet):
    unet.mid_block.train()  # it has no dropout: only whether the flag survives is of interest
    before = {name: part.training for name, part in unet.named_modules()}
    captured = graph_of(unet, *tiny_models.unet_inputs()).export()
    assert {name: part.training for name, part in unet.named_modules()} == before
    unet.eval()
    return captured


def test_attention_norms_and_convolutions_stay_whole(captured):
    ops = {node.op for node in captured.graph.nodes}
    assert {"aten.scaled_dot_product_attention.default", "aten.group_norm.default"} <= ops
    assert {str(op) for op in KEPT_WHOLE} & ops
    assert not any("convolution" in op or "native" in op or "bmm" in op for op in ops)


def test_graph_survives_json(captured):
    again = Graph.from_json(captured.graph.to_json())
    assert again == captured.graph
    assert again.hash() == captured.graph.hash()


def test_equal_models_give_equal_graphs_and_others_do_not():
    def hashed(tokens):
        text = graph_of(tiny_models.clip_text(), tiny_models.token_ids(tokens=tokens))
        return text.key(), text.export().graph.hash()

    assert hashed(5) == hashed(5) != hashed(6)


def test_call_sites_are_paths_of_the_model(unet, captured):
    sites = {node.site for node in captured.graph.nodes if node.op == "aten.conv2d.default"}
    assert "down_blocks.0.resnets.0.conv1" in sites
    for site in sites:
        unet.get_submodule(site)


def test_weights_are_named_as_in_the_state_dict(unet, captured):
    assert {w.key for w in captured.graph.weights} == set(unet.state_dict())


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": 1}', '{"format": 999}', "not json"])
def test_a_file_that_is_no_graph_is_refused(text):
    with pytest.raises(ValueError, match=r"graph|Expecting"):
        Graph.from_json(text)


class Branching(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x + self.calls


@pytest.mark.parametrize("module", [Branching(), Counting()])
def test_what_cannot_be_repeated_is_refused(module):
    with pytest.raises(CaptureError) as caught:
        capture(module, (torch.ones(3),))
    assert "why:" in str(caught.value)


class Scoped(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y = x + 1
        with torch.autocast("cpu", enabled=False):
            return y.float() * 2


def test_scopes_inside_a_model_are_flattened():
    captured, result = replay(Scoped(), (torch.ones(3),), {})
    assert all(node.op.startswith("aten.") for node in captured.graph.nodes)
    assert torch.equal(result, torch.full((3,), 4.0))


def test_outputs_that_are_no_tensors_come_back_as_they_are():
    class Mixed(torch.nn.Module):
        def forward(self, x):
            return {"value": x + 1, "none": None, "number": 3}

    captured, result = replay(Mixed(), (torch.ones(2),), {})
    assert result["none"] is None and result["number"] == 3
    assert sum(isinstance(o, Ref) for o in captured.graph.outputs) == 1
