"""Short ways through capture and build, and how far two results are apart."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from sdbackends.capture.direct import CapturedCall as Capture
from sdbackends.capture.direct import capture, weights_of
from sdbackends.engines.base import GraphEngine, Program
from tests.engines.calls import Call


def built(engine: GraphEngine, call: Call) -> tuple[Capture, Program]:
    captured = capture(call.module, call.args, call.kwargs)
    assert engine.unsupported(captured.graph) == ()
    weights = weights_of(call.module, captured.graph)
    return captured, engine.build(captured.graph, weights, captured.constants)


def run(engine: GraphEngine, call: Call) -> tuple[Program, Any]:
    captured, program = built(engine, call)
    return program, captured.result(list(program(call.tensors())))


def worst(result: Any, expected: Any) -> float:
    """The largest difference, as a share of the largest value, over all tensors of a result."""
    pairs = zip(_tensors(result), _tensors(expected), strict=True)
    return max(distance(a, b) for a, b in pairs)


def _tensors(result: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape and a.dtype == b.dtype
    a, b = a.double(), b.double()
    finite = b.isfinite()
    assert torch.equal(a[~finite].nan_to_num(nan=0.5), b[~finite].nan_to_num(nan=0.5))
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
