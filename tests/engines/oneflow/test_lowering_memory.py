"""Nothing that OneFlow is lent is written to, and nothing that it takes grows without end."""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path

import torch

from sdbackends.capture.direct import capture, weights_of
from sdbackends.engines.base import Program
from sdbackends.engines.oneflow.engine import OneflowEngine
from tests.engines.calls import Call
from tests.engines.oneflow.helpers import build, worst
from tests.engines.oneflow.lowering_cases import rand

ROOT = Path(__file__).parents[3]
#: Runs in OneFlow's interpreter: an input that is not contiguous, given to an nn.Graph as it is
#: and given to ours.
_STRIDED = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import oneflow as flow
from sdbackends.capture.graph import Graph, Node, Ref, TensorSpec, Value
from sdbackends.engines.oneflow.runner import create

class Bare(flow.nn.Graph):
    def build(self, x):
        return x * 2

def lent():
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    return whole, whole.T

whole, turned = lent()
Bare()(flow.from_numpy(turned)).numpy()
print("bare", np.array_equal(whole, lent()[0]))

spec = TensorSpec((4, 3), "float32")
node = Node("y", "aten.mul.Tensor", (Ref("x"), 2), {}, (spec,), False, "")
graph = Graph((Value("x", "0", spec),), (), (), (node,), (Ref("y"),))
for mode in ("graph", "eager"):
    whole, turned = lent()
    loaded = create({"mode": mode, "device": "cpu"}).build(graph, [], [])
    output = np.zeros((4, 3), np.float32)
    for _ in range(2):
        loaded([turned], [output])
        right = np.array_equal(output, lent()[1] * 2)
        print(loaded.report["mode"], right and np.array_equal(whole, lent()[0]))
"""


def test_a_strided_input_is_left_alone(oneflow_python: Path) -> None:
    """An nn.Graph makes its input contiguous in place, over whatever shares its memory."""
    done = subprocess.run(
        [oneflow_python, "-c", _STRIDED, ROOT], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == ["bare False", *["graph True"] * 2, *["eager True"] * 2]


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(4, 16, 3, padding=1)
        self.second = torch.nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.nn.functional.silu(self.first(x))) + x


def test_inputs_and_weights_are_never_written(engine: OneflowEngine) -> None:
    module = Convolution().eval().requires_grad_(False)
    call = Call(module, (rand(2, 4, 16, 16),))
    weights = [parameter.clone() for parameter in module.parameters()]
    given = call.args[0].clone()
    built, expected = build(engine, call), call.eager()
    for _ in range(3):
        result = built.run(call)
        assert worst(result, expected) < 1e-5
        result.zero_()  # the caller's own, not the memory that the next call writes to
    assert torch.equal(call.args[0], given)
    for parameter, before in zip(module.parameters(), weights, strict=True):
        assert torch.equal(parameter, before)


def test_shapes_that_take_turns_leave_the_memory_flat(engine: OneflowEngine) -> None:
    """200 calls over 5 signatures, of which 3 stay built: each call has its program built anew.

    The nn.Graph of the largest takes 60 MB, and OneFlow never gives back what one took.
    """
    module = Convolution().eval().requires_grad_(False)
    calls = [Call(module, (rand(2, 4, size, size, seed=size),)) for size in range(64, 320, 56)]
    captures = [capture(module, call.args) for call in calls]
    expected = [call.eager() for call in calls]
    programs: deque[Program] = deque()
    resident = []
    for i in range(200):
        turn = i % len(calls)
        graph = captures[turn].graph
        programs.append(engine.build(graph, weights_of(module, graph), {}))
        (result,) = programs[-1](calls[turn].tensors())
        assert worst(result, expected[turn]) < 1e-5
        if len(programs) > 3:
            programs.popleft().close()
        resident.append(engine._worker.memory().rss)
    assert max(resident[100:]) - max(resident[:50]) < 30e6
