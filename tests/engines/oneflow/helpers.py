"""Short ways through capture and build, and how far two results are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.direct import CapturedCall as Capture
from sdbackends.capture.direct import capture, weights_of
from sdbackends.engines.oneflow.engine import OneflowEngine, OneflowProgram
from tests.engines.calls import Call


@dataclass
class Built:
    capture: Capture
    program: OneflowProgram

    def run(self, call: Call) -> Any:
        return self.capture.result(list(self.program(call.tensors())))


def build(engine: OneflowEngine, call: Call, captured: Capture | None = None) -> Built:
    captured = captured or capture(call.module, call.args, call.kwargs)
    assert engine.unsupported(captured.graph) == ()
    weights = weights_of(call.module, captured.graph)
    program = engine.build(captured.graph, weights, captured.constants)
    assert isinstance(program, OneflowProgram)
    return Built(captured, program)


def tensors_in(result: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def worst(result: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest value, over all tensors of a result."""
    pairs = list(zip(tensors_in(result), tensors_in(expected), strict=True))
    assert pairs
    for a, b in pairs:
        assert a.shape == b.shape and a.dtype == b.dtype and a.isfinite().all()
    return max(
        float((a.double() - b.double()).abs().max() / b.double().abs().max()) for a, b in pairs
    )
