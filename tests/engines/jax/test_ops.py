"""Single ops with awkward arguments: the same numbers, shapes and dtypes as torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from families import Call, rand
from helpers import run, worst

from sdbackends.engines.base import EngineContext
from sdbackends.engines.jax.engine import JaxEngine

aten = torch.ops.aten
IMAGE = rand(2, 6, 9, 7)
IDS = torch.tensor([[3, 1, 4], [1, 5, 0]])
INTS = torch.tensor([[-7, 7, 3], [-1, 0, 5]])
MASK = torch.tensor([[True, False, True], [False, False, False]])


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


Cases = dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]]
CASES: Cases = {
    "integer division gives floats": (lambda x: x / 2, (INTS,)),
    "floor division of negatives": (lambda x: x // 2, (INTS,)),
    "truncating division": (lambda x: torch.div(x, 2, rounding_mode="trunc"), (INTS,)),
    "truncating division of floats": (
        lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
        (rand(5),),
    ),
    "remainder of negatives": (lambda x: (x % 3, torch.fmod(x, 3)), (INTS,)),
    "remainder of floats": (lambda x: (x % 0.7, torch.fmod(x, 0.7)), (rand(9),)),
    "scalar promotion of integers": (lambda x: (x + 1, x * 0.5, x - 2.0), (INTS,)),
    "narrow tensor with a wide scalar tensor": (
        lambda x, s: x * s,
        (rand(4).bfloat16(), torch.tensor(1.5)),
    ),
    "integer width": (lambda x, y: x + y, (INTS.int(), INTS)),
    "alpha": (lambda x: torch.add(x, x, alpha=3) - torch.rsub(x, 2, alpha=0.5), (rand(4),)),
    "booleans add and multiply": (lambda m: (m + m, m * m, m.sum(), ~m), (MASK,)),
    "powers": (lambda x: (x**2, x**3, 2.0**x, x.abs() ** 0.5), (rand(6),)),
    "power of integers": (lambda x: x**3, (INTS,)),
    "clamp with one side": (lambda x: (x.clamp(min=0.1), x.clamp(max=0.1)), (rand(6),)),
    "clamp crossed": (lambda x: x.clamp(1.0, -1.0), (rand(6),)),
    "clamp integers": (lambda x: x.clamp(-2, 3), (INTS,)),
    "masked fill": (lambda x, m: x.masked_fill(m, float("-inf")), (rand(2, 3), MASK)),
    "masked fill of integers": (lambda x, m: x.masked_fill(m, -100), (INTS, MASK)),
    "where with scalars": (lambda m: torch.where(m, 1.0, -1e9), (MASK,)),
    "where with a broadcast": (lambda m, x: torch.where(m[:, :1], x, 0), (MASK, INTS)),
    "float to integer": (lambda x: (x * 3).to(torch.int64), (rand(8),)),
    "float to bool": (lambda x: x.to(torch.bool), (torch.tensor([0.0, 0.5, -1.0]),)),
    "rounding": (
        lambda x: (x.round(), x.floor(), x.ceil(), x.trunc()),
        (torch.tensor([-2.5, -1.5, -0.4, 0.5, 1.5, 2.5]),),
    ),
    "logs and roots": (
        lambda x: (x.log(), x.log2(), x.log1p(), x.sqrt(), x.rsqrt(), x.reciprocal()),
        (rand(6).abs() + 0.1,),
    ),
    "activations": (
        lambda x: (
            F.silu(x),
            F.gelu(x),
            F.gelu(x, approximate="tanh"),
            F.mish(x),
            F.softplus(x),
            F.elu(x),
            F.leaky_relu(x),
            F.hardswish(x),
            F.relu6(x),
        ),
        (rand(40) * 4,),
    ),
    "activations of a layout": (lambda x: F.silu(x.permute(0, 2, 3, 1)), (IMAGE,)),
    "mean of a negative dim": (lambda x: (x.mean(-1), x.mean((1, 2), keepdim=True)), (IMAGE,)),
    "sums": (lambda x: (x.sum(), x.sum(1), x.sum((-1, 0))), (INTS,)),
    "sum as another dtype": (lambda x: x.sum(dtype=torch.float32), (INTS,)),
    "mean of bfloat16 as float32": (
        lambda x: x.mean(-1, dtype=torch.float32),
        (rand(3, 300).bfloat16(),),
    ),
    "variances": (
        lambda x: (x.var(-1), x.var(-1, unbiased=False), x.std((0, 1), correction=0)),
        (rand(3, 4, 5),),
    ),
    "variance far from zero": (lambda x: x.var(-1), (rand(3, 50) + 1000,)),
    "extremes": (lambda x: (*x.max(-1), *x.min(0), x.amax((0, 1)), x.max()), (rand(3, 4),)),
    "argmax of integers": (lambda x: (x.argmax(-1), x.argmax(), x.argmin(0)), (INTS,)),
    "any and all": (lambda m: (m.any(), m.all(-1), m.any(-1, keepdim=True)), (MASK,)),
    "cumulative sum of a mask": (lambda m: m.cumsum(-1), (MASK,)),
    "cumulative sum": (lambda x: x.cumsum(0), (rand(4, 3),)),
    "softmax": (lambda x: (x.softmax(0), x.log_softmax(-1)), (rand(4, 3),)),
    "softmax of half as float32": (
        lambda x: x.softmax(-1, dtype=torch.float32),
        (rand(4, 30).half(),),
    ),
    "norms": (lambda x: (x.norm(dim=-1, keepdim=True), x.norm()), (rand(4, 3),)),
    "normalize": (lambda x: F.normalize(x, dim=-1), (rand(4, 3),)),
    "expand": (lambda x: x[:, None].expand(-1, 4, -1), (INTS,)),
    "slices": (lambda x: (x[:, 1:99], x[-1:], x[:, -2:], x[:, ::2]), (rand(3, 5),)),
    "uneven chunks": (lambda x: x.chunk(3, 1), (rand(2, 7),)),
    "splits": (lambda x: (*x.split(3, -1), *x.split([2, 5], 1), *x.unbind(0)), (rand(2, 7),)),
    "stack and repeat": (
        lambda x: (torch.stack([x, x], -1), x.repeat(2, 1, 3), x.repeat_interleave(2, 1)),
        (rand(2, 3),),
    ),
    "roll": (lambda x: (x.roll(1), x.roll((1, -2), (0, 1)), x.flip(-1)), (rand(3, 4),)),
    "squeezes": (
        lambda x: (x.squeeze(), x.squeeze(1), x.squeeze(0), x.unsqueeze(-1)),
        (rand(1, 3, 1),),
    ),
    "triangles": (lambda x: (x.tril(), x.triu(1)), (rand(4, 4),)),
    "ranges": (
        lambda x: (
            x[0] + torch.arange(5),
            torch.arange(0, 1, 0.1),
            torch.arange(7, 1, -2),
            torch.linspace(0, 1, 5),
            torch.arange(3, dtype=torch.float16),
        ),
        (rand(5),),
    ),
    "filled": (
        lambda x: (
            torch.full_like(x, 2),
            x.new_zeros(3),
            torch.ones_like(x, dtype=torch.int64),
            torch.eye(3),
        ),
        (rand(2),),
    ),
    "index with a gap": (lambda x, i: x[:, i], (rand(4, 6), IDS)),
    "index with negatives": (lambda x: x[torch.tensor([-1, 0])], (rand(4, 6),)),
    "index in pairs": (lambda x, i: x[torch.arange(2), i.argmax(-1)], (rand(2, 3), IDS)),
    "gather along a shorter axis": (lambda x, i: x.gather(1, i), (rand(4, 6), IDS)),
    "index select": (lambda x, i: x.index_select(1, i[0]), (rand(4, 6), IDS)),
    "scatter": (lambda x, i: torch.zeros(2, 6).scatter(1, i, x), (rand(2, 3), IDS)),
    "embedding": (lambda w, i: F.embedding(i, w), (rand(6, 4), IDS)),
    "pads": (
        lambda x: (
            F.pad(x, (1, 0, 2, 3), value=0.5),
            F.pad(x, (1, -2)),
            F.pad(x, (1, 2, 0, 1), mode="reflect"),
            F.pad(x, (1, 2, 0, 1), mode="replicate"),
        ),
        (IMAGE,),
    ),
    "matrix products": (
        lambda x: (x @ x.mT, x[0] @ x[1].mT, torch.einsum("bij,bkj->bik", x, x), x @ x[0, 0]),
        (rand(2, 3, 4),),
    ),
    "addmm": (
        lambda x: torch.addmm(x[0], x, x, beta=0.5, alpha=2.0),
        (rand(4, 4),),
    ),
    "baddbmm without its first": (
        lambda x: torch.baddbmm(torch.empty(2, 3, 3), x, x.mT, beta=0, alpha=0.5),
        (rand(2, 3, 4),),
    ),
    "layer norms": (
        lambda x: (F.layer_norm(x, (7,)), F.layer_norm(x, (9, 7), eps=1e-3)),
        (IMAGE,),
    ),
    "group norm of rows": (lambda x: F.group_norm(x, 3), (rand(2, 6, 10),)),
    "group norm far from zero": (lambda x: F.group_norm(x, 3), (IMAGE + 1000,)),
    "rms norm": (lambda x: F.rms_norm(x, (7,)), (IMAGE,)),
    "nearest, whole and odd": (
        lambda x: (
            F.interpolate(x, scale_factor=2.0),
            F.interpolate(x, size=(13, 10)),
            F.interpolate(x, scale_factor=0.7),
        ),
        (IMAGE,),
    ),
    "nearest exact": (lambda x: F.interpolate(x, size=(13, 5), mode="nearest-exact"), (IMAGE,)),
    "bilinear": (
        lambda x: (
            F.interpolate(x, size=(13, 5), mode="bilinear"),
            F.interpolate(x, scale_factor=1.7, mode="bilinear"),
            F.interpolate(x, size=(13, 5), mode="bilinear", align_corners=True),
        ),
        (IMAGE,),
    ),
    "pools": (
        lambda x: (
            F.avg_pool2d(x, 2),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.adaptive_avg_pool2d(x, (4, 3)),
        ),
        (IMAGE,),
    ),
    "pixel shuffles": (
        lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)),
        (rand(1, 8, 4, 6),),
    ),
    "scalars in, scalars out": (lambda x, i: (x * 2, i + 1), (torch.tensor(3.0), torch.tensor(4))),
    "nothing in it": (lambda x: x.sum(0), (torch.zeros(0, 3),)),
    "a view that splits": (lambda x: x.view(2, 3, 2, 63).transpose(1, 2), (IMAGE,)),
}


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


def test_random_numbers_are_no_op_of_ours(engine: JaxEngine) -> None:
    """torch's generator must give the numbers, so the model stays with torch."""
    from sdbackends.capture.export import capture

    graph = capture(Function(lambda x: x + torch.randn(3)), (rand(3),)).graph
    assert [missing.op for missing in engine.unsupported(graph)] == ["aten.randn.default"]
