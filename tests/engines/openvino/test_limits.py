"""What OpenVINO does not run, or would run wrongly, and what is done about it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from sdbackends.capture.direct import capture
from sdbackends.engines.base import EngineContext
from sdbackends.engines.openvino.conversion import convert
from sdbackends.engines.openvino.engine import OpenvinoEngine
from sdbackends.errors import BackendNotReadyError, RunError, UsageError
from tests.conformance.opinfo import direct
from tests.conformance.opinfo.suite import run_traced
from tests.engines.calls import Call, rand
from tests.engines.programs import run, worst


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.function(*tensors)


def lacks(engine: OpenvinoEngine, function: Callable[..., torch.Tensor], *tensors) -> list[str]:
    graph = capture(Function(function), tensors).graph
    return [missing.op for missing in engine.unsupported(graph)]


def test_what_is_refused_is_named_with_the_reason(engine) -> None:
    attention = torch.nn.functional.scaled_dot_product_attention
    q = rand(1, 2, 4, 8)
    assert lacks(engine, lambda x: torch.fft.fft(x), rand(4)) == [
        "aten._fft_r2c.default (complex64)"
    ]
    assert lacks(engine, lambda x: x.cumprod(0), rand(4)) == ["aten.cumprod.default"]
    (with_dropout,) = lacks(engine, lambda x: attention(x, x, x, dropout_p=0.5), q)
    assert with_dropout == "aten.scaled_dot_product_attention.default (with dropout)"
    (infinite,) = lacks(engine, lambda x: x * float("inf"), rand(4))
    assert infinite == "aten.mul.Tensor (with a number that is not finite)"
    assert lacks(engine, lambda x: x @ x.T, rand(0, 3)) == ["aten.mm.default (of an empty tensor)"]


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_arithmetic_after_a_reduction(engine, axis, keepdim) -> None:
    """OpenVINO 2026.4 fuses the two, and gives zeros for some."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(axis, keepdim=True)).pow(2).sum(axis, keepdim=keepdim) / 4

    call = Call(Function(forward), (rand(4, 32, 48),))
    _, result = run(engine, call)
    assert worst(result, call.eager()) < 1e-5


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.amax(0),
        lambda x: x.amin(0),
        lambda x: x.any(0),
        lambda x: torch.ops.aten.any.dims(x, [0]),
        lambda x: x.argmax(0),
        lambda x: x.argmin(0),
        lambda x: x.max(0),
        lambda x: x.min(0),
        lambda x: x.mean(0),
        lambda x: x.prod(0),
    ],
)
@pytest.mark.parametrize("value", [3.0, -4.0])
def test_a_tensor_without_axes(engine, function, value) -> None:
    call = Call(Function(function), (torch.tensor(value),))
    _, result = run(engine, call)
    assert worst(tuple(result) if isinstance(result, tuple) else result, call.eager()) == 0


@pytest.mark.parametrize("repeats", [[], [1], [2, 3]])
def test_a_scalar_that_is_repeated(engine, repeats) -> None:
    one = direct.call("aten.repeat.default", (torch.tensor(3.0), repeats), {})
    assert [outcome.wrong for outcome in run_traced(engine, [one])] == [None]
    kinds = {node.get_type_name() for node in convert(one.graph, {}, {}).get_ops()}
    assert ("Tile" in kinds) == bool(repeats), "OpenVINO's of a scalar is uninitialized memory"


def test_inputs_that_are_not_read(engine) -> None:
    """Of one shape, so that one in another's place would go unnoticed."""
    call = Call(Function(lambda a, b, c, d: d - b), tuple(rand(3) + i for i in range(4)))
    _, result = run(engine, call)
    assert torch.equal(result, call.eager())


def test_integers_that_do_not_fit_are_refused(engine) -> None:
    call = Call(Function(lambda x: x + 1), (torch.tensor([1, 2]),))
    program, result = run(engine, call)
    assert torch.equal(result, torch.tensor([2, 3]))
    with pytest.raises(RunError, match="2147483648"):
        program([torch.tensor([1, 2**31])])
    # The ends of int64 stand for "no limit".
    (limits,) = program([torch.tensor([1, 2**63 - 1])])
    assert limits[0] == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_rounded_as_torch_rounds(engine, dtype) -> None:
    call = Call(Function(lambda x: x * 3), (rand(64).to(dtype),))
    _, result = run(engine, call)
    assert result.dtype == dtype and torch.equal(result, call.eager())


def test_results_that_are_inputs_weights_or_the_same_twice(engine) -> None:
    class Several(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", rand(4))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            y = x * self.scale
            return x, y, self.scale, y, x.reshape(12), x

    x = rand(3, 4)
    call = Call(Several(), (x,))
    _, results = run(engine, call)
    for result, expected in zip(results, call.eager(), strict=True):
        assert torch.equal(result, expected)
    for result in results:
        result.zero_()
    assert x.abs().sum() > 0 and call.module.scale.abs().sum() > 0


def test_nothing_is_sent_to_a_server() -> None:
    """OpenVINO's telemetry is not imported; a script's own import of it is left alone."""
    code = (
        "import sys, sdbackends.engines.openvino.engine;"
        "import openvino.tools.ovc.telemetry_utils as used;"
        "print('openvino_telemetry' in sys.modules, used.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "openvino.tools.ovc.telemetry_stub"]


def test_no_other_device(engine) -> None:
    with pytest.raises(BackendNotReadyError, match="does not run on 'cuda'"):
        OpenvinoEngine(EngineContext(device="cuda"))


def test_bfloat16_is_refused_where_the_cpu_has_no_units_for_it(engine) -> None:
    options = {"inference_precision": "bf16"}
    if engine._has_bf16:
        assert OpenvinoEngine(EngineContext(options=options)) is not None
        return
    with pytest.raises(BackendNotReadyError, match="no instructions for bfloat16"):
        OpenvinoEngine(EngineContext(options=options))


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(UsageError, match="inference_precision"):
        OpenvinoEngine(EngineContext(options={"inference_precision": "int8"}))
