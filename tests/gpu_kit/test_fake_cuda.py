"""Models on a CUDA device that is not there: torch's fake tensors go the way of a GPU's.

It takes a torch that was built for CUDA, which needs no GPU to say what its operations would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests import tiny_models
from tests.capture.tracing import Traced

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="this torch was built without CUDA"
)
#: Models, their arguments, and operations that engines have kernels for.
MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[str, ...]]] = {
    "unet": (
        tiny_models.unet,
        tiny_models.unet_inputs,
        ("scaled_dot_product_attention", "group_norm", "conv2d"),
    ),
    "clip": (
        tiny_models.clip_text,
        lambda: (tiny_models.token_ids(),),
        ("scaled_dot_product_attention", "layer_norm", "linear"),
    ),
}


def on_cuda(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


def to_fake_cuda(module: torch.nn.Module) -> None:
    for each in module.modules():
        for name, weight in each._parameters.items():
            if weight is not None:
                each._parameters[name] = torch.nn.Parameter(on_cuda(weight), requires_grad=False)
        for name, buffer in each._buffers.items():
            if buffer is not None:
                each._buffers[name] = on_cuda(buffer)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_one_graph_of_whole_operations(name: str) -> None:
    make, inputs, whole = MODELS[name]
    module = make()
    with FakeTensorMode(allow_non_fake_inputs=True):
        to_fake_cuda(module)
        args = [on_cuda(x) if isinstance(x, torch.Tensor) else x for x in inputs()]
        traced = Traced(module)
        traced(*args)
    (graph,) = traced.graphs
    assert {fake.device.type for fake in graph.fakes} == {"cuda"}
    found = Counter(word for node in graph.export().graph.nodes for word in node.op.split("."))
    assert all(found[op] for op in whole), found
