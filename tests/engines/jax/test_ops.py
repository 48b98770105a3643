"""Single ops with awkward arguments: the same numbers, shapes and dtypes as torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from op_cases import CASES, IMAGE, Cases

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine
from tests.engines.calls import Call, rand
from tests.engines.programs import run, worst

aten = torch.ops.aten


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


class Every(torch.nn.Module):
    """Many small functions as one model: one capture and one compilation for all of them."""

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, args: dict[str, tuple[torch.Tensor, ...]]) -> dict[str, Any]:
        return {name: function(*args[name]) for name, function in self.functions.items()}


def results(cases: Cases, **options: str) -> dict[str, tuple[Any, Any]]:
    """For every case, what the engine gives and what torch gives."""
    functions = {name: function for name, (function, _) in cases.items()}
    call = Call(Every(functions).eval(), ({name: args for name, (_, args) in cases.items()},))
    expected = call.eager()
    _, got = run(JaxEngine(EngineContext(options, "cpu")), call)
    return {name: (got[name], expected[name]) for name in cases}


def agree(function: Callable[..., Any], *args: torch.Tensor, **options: str) -> None:
    ((result, expected),) = results({"it": (function, args)}, **options).values()
    narrow = any(a.dtype in (torch.bfloat16, torch.float16) for a in args)
    assert worst(result, expected) < (1e-2 if narrow else 2e-6)


@pytest.fixture(scope="module")
def op_results() -> dict[str, tuple[Any, Any]]:
    return results(CASES)


@pytest.mark.parametrize("name", CASES)
def test_op(name: str, op_results: dict[str, tuple[Any, Any]]) -> None:
    narrow = any(a.dtype in (torch.bfloat16, torch.float16) for a in CASES[name][1])
    far = "far from zero" in name  # what float32 keeps of 1000 ± 1; one pass would keep nothing
    assert worst(*op_results[name]) < (1e-2 if narrow else 2e-4 if far else 2e-6)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((2, 6, 9, 7), (5, 6, 3, 3), {"padding": 1}),
    "stride and dilation": ((2, 6, 9, 7), (5, 6, 3, 3), {"stride": (2, 1), "dilation": 2}),
    "groups": ((2, 6, 9, 7), (4, 3, 3, 3), {"groups": 2}),
    "depthwise": ((2, 6, 9, 7), (6, 1, 3, 3), {"groups": 6, "padding": "same"}),
    "even kernel, same": ((2, 6, 9, 7), (5, 6, 4, 2), {"padding": "same"}),
    "pointwise with a stride": ((2, 6, 9, 7), (5, 6, 1, 1), {"stride": 2}),
    "pointwise with a border": ((2, 6, 9, 7), (5, 6, 1, 1), {"padding": 1}),
    "without a batch": ((6, 9, 7), (5, 6, 3, 3), {}),
    "patches, stride 2": ((1, 64, 9, 8), (5, 64, 3, 3), {"stride": 2, "padding": 1}),
    "one dimension": ((2, 6, 9), (5, 6, 3), {"padding": 1}),
    "three dimensions": ((1, 4, 5, 6, 7), (3, 4, 3, 3, 3), {"padding": 1}),
}


def convolution_case(
    name: str,
) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]:
    shape, kernel, options = CONVOLUTIONS[name]
    form = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 3]
    args = (rand(*shape), rand(*kernel, seed=3), rand(kernel[0], seed=4))
    return (lambda x, w, b: form(x, w, b, **options)), args


@pytest.fixture(scope="module", params=["nhwc", "nchw"])
def convolution_results(request: pytest.FixtureRequest) -> dict[str, tuple[Any, Any]]:
    return results({name: convolution_case(name) for name in CONVOLUTIONS}, layout=request.param)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str, convolution_results: dict[str, tuple[Any, Any]]) -> None:
    assert worst(*convolution_results[name]) < 2e-6


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution(groups: int) -> None:
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": groups, "dilation": 2}
    weight = rand(6, 4, 3, 3, seed=3)
    agree(lambda x, w: F.conv_transpose2d(x, w, **options), IMAGE, weight)


@pytest.mark.parametrize("conv", ["auto", "native", "im2col"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_of_a_convolution_agrees(conv: str, dtype: torch.dtype) -> None:
    """24x24 pixels and 64 channels: with bfloat16, "auto" takes the shifted rows."""
    weight = rand(8, 64, 3, 3, seed=3) / 24
    args = (rand(1, 64, 24, 24).to(dtype), weight.to(dtype))
    agree(lambda x, w: F.conv2d(x, w, padding=1), *args, conv=conv)


MASKS: dict[str, tuple[torch.Tensor, ...]] = {
    "none": (),
    "keys": (rand(2, 1, 1, 192, seed=4) > 0,),
    "full": (rand(1, 2, 256, 192, seed=4) > 0,),
    "bias": (rand(2, 2, 256, 192, seed=4),),
    "row of nothing": (torch.arange(256)[:, None].expand(256, 192) > 2,),
}
QUERY, KEY, VALUE = (
    rand(2, 2, 256, 8),
    rand(2, 2, 192, 8, seed=2),
    rand(2, 2, 192, 8, seed=3),
)


@pytest.fixture(scope="module", params=["auto", "plain", "tiled", "library"])
def attention_results(request: pytest.FixtureRequest) -> dict[str, tuple[Any, Any]]:
    function = F.scaled_dot_product_attention
    cases = {name: (function, (QUERY, KEY, VALUE, *mask)) for name, mask in MASKS.items()}
    if request.param == "library":
        # JAX's own function gives a mean there; it is nobody's default on a CPU.
        cases["row of nothing"] = cases["full"]
    return results(cases, attention=request.param)


@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask: str, attention_results: dict[str, tuple[Any, Any]]) -> None:
    assert worst(*attention_results[mask]) < 2e-6


def test_attention_forms() -> None:
    query, key, value = QUERY, KEY, VALUE
    causal = {"is_causal": True, "scale": 0.3}
    agree(lambda q: F.scaled_dot_product_attention(q, q, q, **causal), query)
    grouped = {"enable_gqa": True}
    agree(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **grouped),
        query,
        key[:, :1],
        value[:, :1],
    )
    agree(F.scaled_dot_product_attention, query[0], key[0], value[0])


def test_one_head_and_one_batch_stand_for_all() -> None:
    agree(F.scaled_dot_product_attention, QUERY, KEY[:1, :1], VALUE[:, :1])
    agree(F.scaled_dot_product_attention, QUERY[:1], KEY, VALUE)


def test_random_numbers_are_no_op_of_ours(engine: JaxEngine) -> None:
    """torch's generator must give the numbers, so the model stays with torch."""
    from sdbackends.capture.direct import capture

    graph = capture(Function(lambda x: x + torch.randn(3)), (rand(3),)).graph
    assert [missing.op for missing in engine.unsupported(graph)] == ["aten.randn.default"]
