"""Single ops with awkward arguments, as functions of torch tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F


def rand(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


IMAGE = rand(2, 6, 9, 7)
IDS = torch.tensor([[3, 1, 4], [1, 5, 0]])
INTS = torch.tensor([[-7, 7, 3], [-1, 0, 5]])
MASK = torch.tensor([[True, False, True], [False, False, False]])
BYTES = torch.tensor([[250, 7, 3], [1, 0, 5]], dtype=torch.uint8)
STRANGE = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -2.5])

Function = Callable[..., Any]
Cases = dict[str, tuple[Function, tuple[torch.Tensor, ...]]]


def put(x: torch.Tensor, place: Any, values: torch.Tensor) -> torch.Tensor:
    written = x.clone()
    written[place] = values
    return written


ARITHMETIC: Cases = {
    "integer division gives floats": (lambda x: (x / 2, 3 / (x + 9)), (INTS,)),
    "division of booleans": (lambda m: m / 2, (MASK,)),
    "floor division of negatives": (lambda x: (x // 2, x // -2), (INTS,)),
    "floor division of floats": (
        lambda x: (x // 0.2, torch.div(x, -0.3, rounding_mode="floor")),
        (torch.tensor([0.6, -0.6, 1.0, 0.1, -7.3, 0.8]),),
    ),
    "truncating division": (lambda x: torch.div(x, 2, rounding_mode="trunc"), (INTS,)),
    "truncating division of floats": (
        lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
        (rand(5),),
    ),
    "remainder of negatives": (lambda x: (x % 3, x % -3, torch.fmod(x, 3)), (INTS,)),
    "remainder of floats": (lambda x: (x % 0.7, x % -0.7, torch.fmod(x, 0.7)), (rand(9),)),
    "broadcast remainders": (lambda x, y: (x % y, x // y), (INTS, torch.tensor([2, -3, 4]))),
    "scalar promotion of integers": (lambda x: (x + 1, x * 0.5, x - 2.0, 2 - x), (INTS,)),
    "an integer with a scalar tensor": (lambda x, s: x * s, (INTS, torch.tensor(1.5))),
    "integer width": (lambda x, y: x + y, (INTS.int(), INTS)),
    "bytes": (lambda x: (x + 1, x * 2, x > 3, x.float() / 255), (BYTES,)),
    "alpha": (lambda x: torch.add(x, x, alpha=3) - torch.rsub(x, 2, alpha=0.5), (rand(4),)),
    "booleans add and multiply": (lambda m: (m + m, m * m, m.sum(), ~m), (MASK,)),
    "booleans in bits": (lambda m: (m & ~m, m | m, m ^ True), (MASK,)),
    "booleans times floats": (lambda m, x: (m * x, x - m.float()), (MASK, rand(2, 3))),
    "inverse mask": (lambda m: (1.0 - m.float()) * torch.finfo(torch.float32).min, (MASK,)),
    "powers": (lambda x: (x**2, x**3, 2.0**x, x.abs() ** 0.5, x.abs() ** -1.5), (rand(6),)),
    "power of integers": (lambda x: (x**3, x**2, x**1), (INTS,)),
    "large integers": (lambda x: (x * 3 + 1, x // 7, x % 7), (INTS * 2**40 + 5,)),
    "double precision": (
        lambda x: (x / 3, (x * math.pi).sin(), 10000.0**x),
        (rand(5).double(),),
    ),
    "comparisons": (
        lambda x, y: (x > 0, x >= y, x == y, x != 3, x < 0.5, y <= x),
        (INTS, INTS.flip(0)),
    ),
    "comparison of an integer with a fraction": (lambda x: (x > 2.5, x == 3.5), (INTS,)),
    "maximum and minimum": (
        lambda x, y: (torch.maximum(x, y), torch.minimum(x, y), torch.maximum(y, y)),
        (rand(2, 3), INTS.float()),
    ),
    "logic of numbers": (
        lambda x: (torch.logical_not(x), torch.logical_and(x, x > 2), x.bool()),
        (INTS,),
    ),
    "strange numbers": (
        lambda x: (
            x.isnan(),
            x.isinf(),
            x.isfinite(),
            x.nan_to_num(),
            x.nan_to_num(1.0, 2.0, -3.0),
            x.clamp(-1, 1),
            torch.maximum(x, torch.zeros(5)),
        ),
        (STRANGE,),
    ),
    "clamp with one side": (lambda x: (x.clamp(min=0.1), x.clamp(max=0.1)), (rand(6),)),
    "clamp crossed": (lambda x: x.clamp(1.0, -1.0), (rand(6),)),
    "clamp integers": (lambda x: (x.clamp(-2, 3), x.clamp(min=0)), (INTS,)),
    "clamp by tensors": (lambda x: x.clamp(x * 0 - 0.5, x * 0 + 0.5), (rand(6),)),
    "masked fill": (lambda x, m: x.masked_fill(m, float("-inf")), (rand(2, 3), MASK)),
    "masked fill of integers": (lambda x, m: x.masked_fill(m, -100), (INTS, MASK)),
    "where with scalars": (lambda m: torch.where(m, 1.0, -1e9), (MASK,)),
    "where with a broadcast": (lambda m, x: torch.where(m[:, :1], x, 0), (MASK, INTS)),
    "where of booleans": (lambda m: torch.where(m, m, ~m), (MASK,)),
    "float to integer": (lambda x: ((x * 3).to(torch.int64), (x * 3).int()), (rand(8),)),
    "float to bool": (lambda x: x.to(torch.bool), (torch.tensor([0.0, 0.5, -1.0]),)),
    "rounding": (
        lambda x: (x.round(), x.floor(), x.ceil(), x.trunc(), x.round(decimals=1)),
        (torch.tensor([-2.5, -1.5, -0.44, 0.5, 1.5, 2.5]),),
    ),
    "logs and roots": (
        lambda x: (x.log(), x.log2(), x.log1p(), x.sqrt(), x.rsqrt(), x.reciprocal(), x.log10()),
        (rand(6).abs() + 0.1,),
    ),
    "functions of integers": (lambda x: (x.sin(), x.exp(), x.abs(), -x, x.sign()), (INTS,)),
    "trigonometry": (
        lambda x: (x.sin(), x.cos(), x.tan(), x.atan(), x.sinh(), x.acos(), torch.atan2(x, x[0])),
        (rand(3, 4).clamp(-0.9, 0.9),),
    ),
    "exponentials": (lambda x: (x.exp(), x.exp2(), x.expm1(), x.erf(), x.sigmoid()), (rand(9),)),
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
            F.relu(x),
            F.hardsigmoid(x),
        ),
        (rand(40) * 4,),
    ),
    "activations of what is not contiguous": (lambda x: F.silu(x.permute(0, 2, 3, 1)), (IMAGE,)),
    "interpolation of two": (
        lambda x: (torch.lerp(x, x * 2, 0.3), torch.addcmul(x, x, x, value=0.5)),
        (rand(4),),
    ),
}

FOLDS: Cases = {
    "mean of a negative dim": (lambda x: (x.mean(-1), x.mean((1, 2), keepdim=True)), (IMAGE,)),
    "sums": (lambda x: (x.sum(), x.sum(1), x.sum((-1, 0))), (INTS,)),
    "sum as another dtype": (lambda x: x.sum(dtype=torch.float32), (INTS,)),
    "variances": (
        lambda x: (x.var(-1), x.var(-1, unbiased=False), x.std((0, 1), correction=0)),
        (rand(3, 4, 5),),
    ),
    "variance far from zero": (lambda x: x.var(-1), (rand(3, 50) + 1000,)),
    "extremes": (lambda x: (*x.max(-1), *x.min(0), x.amax((0, 1)), x.max()), (rand(3, 4),)),
    "extremes of strange numbers": (
        lambda x: (x.amax(-1), x.amin(0), x.min(), x.max(-1).values),
        (torch.tensor([[1.0, math.nan, 3.0], [-math.inf] * 3, [math.inf, 1.0, 2.0]]),),
    ),
    "argmax of integers": (lambda x: (x.argmax(-1), x.argmax(), x.argmin(0)), (INTS,)),
    "argmax of the first of equals": (lambda x: x.argmax(-1), (torch.tensor([[2, 5, 5, 5]]),)),
    "any and all": (lambda m: (m.any(), m.all(-1), m.any(-1, keepdim=True)), (MASK,)),
    "any of integers": (lambda x: ((x == 0).any(-1), x.any(), x.all(0)), (INTS,)),
    "cumulative sum of a mask": (lambda m: m.cumsum(-1), (MASK,)),
    "cumulative sum": (lambda x: (x.cumsum(0), x.cumprod(-1)), (rand(4, 3),)),
    "softmax": (lambda x: (x.softmax(0), x.log_softmax(-1), x.logsumexp(0)), (rand(4, 3),)),
    "softmax of a masked row": (
        lambda x: x.softmax(-1),
        (torch.tensor([[0.5, -math.inf, 1.0], [-math.inf, -math.inf, 0.0]]),),
    ),
    "softmax of nothing": (
        lambda x: torch.ops.aten._safe_softmax(x, -1),
        (torch.tensor([[0.5, -math.inf, 1.0], [-math.inf] * 3]),),
    ),
    "norms": (
        lambda x: (x.norm(dim=-1, keepdim=True), x.norm(), x.norm(p=1, dim=0), x.norm(p=math.inf)),
        (rand(4, 3),),
    ),
    "normalize": (lambda x: F.normalize(x, dim=-1), (rand(4, 3),)),
    "products": (lambda x: (x.prod(), x.prod(1)), (rand(2, 3),)),
    "layer norms": (
        lambda x: (
            F.layer_norm(x, (7,)),
            F.layer_norm(x, (9, 7), eps=1e-3),
            F.layer_norm(x, (7,), x[0, 0, 0]),
        ),
        (IMAGE,),
    ),
    "layer norm far from zero": (lambda x: F.layer_norm(x, (50,)), (rand(3, 50) + 1000,)),
    "group norm of rows": (lambda x: F.group_norm(x, 3), (rand(2, 6, 10),)),
    "group norm of a volume": (
        lambda x, w: F.group_norm(x, 2, w, -w),
        (rand(2, 6, 2, 3, 4), rand(6)),
    ),
    "group norm far from zero": (lambda x: F.group_norm(x, 3), (IMAGE + 1000,)),
    "rms norm": (lambda x: (F.rms_norm(x, (7,)), F.rms_norm(x, (9, 7), x[0, 0])), (IMAGE,)),
}

SHAPES: Cases = {
    "expand": (lambda x: x[:, None].expand(-1, 4, -1), (INTS,)),
    "slices": (lambda x: (x[:, 1:99], x[-1:], x[:, -2:], x[:, ::2]), (rand(3, 5),)),
    "uneven chunks": (lambda x: x.chunk(3, 1), (rand(2, 7),)),
    "splits": (lambda x: (*x.split(3, -1), *x.split([2, 5], 1), *x.unbind(0)), (rand(2, 7),)),
    "stack and repeat": (
        lambda x: (torch.stack([x, x], -1), x.repeat(2, 1, 3), x.repeat_interleave(2, 1)),
        (rand(2, 3),),
    ),
    "cat of two kinds": (lambda x, i: torch.cat([x, i], -1), (rand(2, 3), INTS)),
    "roll": (lambda x: (x.roll(1), x.roll((1, -2), (0, 1)), x.flip(-1)), (rand(3, 4),)),
    "squeezes": (
        lambda x: (x.squeeze(), x.squeeze(1), x.squeeze(0), x.unsqueeze(-1)),
        (rand(1, 3, 1),),
    ),
    "triangles": (lambda x: (x.tril(), x.triu(1), (x > 0).tril(-1)), (rand(4, 4),)),
    "a triangle of infinities": (lambda x: x.triu(1), (torch.full((3, 3), -math.inf),)),
    "diagonal": (lambda x: (x.diagonal(), x.diagonal(1)), (rand(3, 4),)),
    "ranges": (
        lambda x: (
            x[0] + torch.arange(5),
            torch.arange(0, 1, 0.1),
            torch.arange(7, 1, -2),
            torch.linspace(0, 1, 5),
        ),
        (rand(5),),
    ),
    "filled": (
        lambda x: (
            torch.full_like(x, 2),
            x.new_zeros(3),
            torch.ones_like(x, dtype=torch.int64),
            torch.eye(3),
            torch.full((2, 2), True),
            x.new_full((2,), -math.inf),
        ),
        (rand(2),),
    ),
    "index with a gap": (lambda x, i: x[:, i], (rand(4, 6), IDS)),
    "index with negatives": (lambda x, i: x[i], (rand(4, 6), torch.tensor([-1, 0]))),
    "index in pairs": (lambda x, i: x[torch.arange(2), i.argmax(-1)], (rand(2, 3), IDS)),
    "index in pairs apart": (lambda x, i: x[i[0], :, i[1]], (rand(6, 4, 6), IDS)),
    "gather along a shorter axis": (lambda x, i: x.gather(1, i), (rand(4, 6), IDS)),
    "index select": (lambda x, i: x.index_select(1, i[0]), (rand(4, 6), IDS)),
    "scatter": (lambda x, i: torch.zeros(2, 6).scatter(1, i, x), (rand(2, 3), IDS)),
    "scatter of a value": (lambda i: torch.zeros(2, 6).scatter(1, i, 2.0), (IDS,)),
    "put": (
        lambda x, i: x.index_put((i[0],), torch.zeros(3, 2)),
        (rand(6, 2), IDS),
    ),
    "put behind the first axis": (
        lambda x, v, i: put(x.permute(0, 2, 1), (slice(None), i[0]), v),
        (rand(4, 2, 6), rand(3, 2), IDS),
    ),
    "put in pairs": (
        lambda x, v, i: put(x, (slice(None), i[0], i[1]), v),
        (rand(4, 6, 6), rand(4, 3), IDS),
    ),
    "put in pairs apart": (
        lambda x, v, i: put(x, (i[0], slice(None), i[1]), v),
        (rand(6, 4, 6), rand(3, 4), IDS),
    ),
    "write into a slice": (
        lambda x: (
            torch.slice_scatter(x, torch.zeros(3, 2), 1, 1, 5, 2),
            torch.select_scatter(x, torch.ones(3), 1, -1),
        ),
        (rand(3, 6),),
    ),
    "embedding": (lambda w, i: F.embedding(i, w), (rand(6, 4), IDS)),
    "embedding of positions": (
        lambda w, m: F.embedding(m.long().cumsum(-1) * m + 1, w),
        (rand(6, 4), MASK),
    ),
    "pads": (
        lambda x: (
            F.pad(x, (1, 0, 2, 3), value=0.5),
            F.pad(x, (1, -2)),
            F.pad(x, (1, 2, 0, 1), mode="reflect"),
            F.pad(x, (1, 2, 0, 1), mode="replicate"),
            F.pad(x > 0, (1, 1)),
        ),
        (IMAGE,),
    ),
    "a view that splits": (lambda x: x.view(2, 3, 2, 63).transpose(1, 2), (IMAGE,)),
    "a reshape of what is turned": (lambda x: x.permute(3, 0, 2, 1).reshape(14, -1), (IMAGE,)),
    "pixel shuffles": (
        lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)),
        (rand(1, 8, 4, 6),),
    ),
    "scalars in, scalars out": (lambda x, i: (x * 2, i + 1), (torch.tensor(3.0), torch.tensor(4))),
    "what passes through": (lambda x: (x, x + 1, x), (rand(3),)),
    "timestep embedding": (
        lambda t: (
            torch.exp(-math.log(10000.0) * torch.arange(8, dtype=torch.float32) / 8)[None]
            * t[:, None].float()
        ).cos(),
        (torch.tensor([981, 1]),),
    ),
}

PRODUCTS: Cases = {
    "matrix products": (
        lambda x: (x @ x.mT, x[0] @ x[1].mT, torch.einsum("bij,bkj->bik", x, x), x @ x[0, 0]),
        (rand(2, 3, 4),),
    ),
    "linear": (
        lambda x, w, b: (F.linear(x, w, b), F.linear(x, w), F.linear(x[0, 0], w, b)),
        (rand(2, 3, 4), rand(5, 4), rand(5)),
    ),
    "a product of three dimensions with two": (
        lambda x, y: (x @ y, y.mT @ x.mT),
        (rand(2, 3, 4), rand(4, 5)),
    ),
    "addmm": (lambda x: torch.addmm(x[0], x, x, beta=0.5, alpha=2.0), (rand(4, 4),)),
    "baddbmm without its first": (
        lambda x: torch.baddbmm(torch.empty(2, 3, 3), x, x.mT, beta=0, alpha=0.5),
        (rand(2, 3, 4),),
    ),
    "outer": (lambda x: torch.outer(x, x), (rand(4),)),
    "nearest, whole and odd": (
        lambda x: (
            F.interpolate(x, scale_factor=2.0),
            F.interpolate(x, size=(13, 10)),
            F.interpolate(x, scale_factor=0.7),
            F.interpolate(x, scale_factor=(1.3, 2.6)),
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
}


def _convolution(
    shape: tuple[int, ...], kernel: tuple[int, ...], **options: Any
) -> tuple[Function, tuple[torch.Tensor, ...]]:
    form = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 3]
    args = (rand(*shape), rand(*kernel, seed=3), rand(kernel[0], seed=4))
    return (lambda x, w, b: (form(x, w, b, **options), form(x, w, **options))), args


def _transposed(groups: int) -> tuple[Function, tuple[torch.Tensor, ...]]:
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": groups, "dilation": 2}
    args = (IMAGE, rand(6, 4, 3, 3, seed=3), rand(4 * groups))
    return (lambda x, w, b: F.conv_transpose2d(x, w, b, **options)), args


CONVOLUTIONS: Cases = {
    "3x3": _convolution((2, 6, 9, 7), (5, 6, 3, 3), padding=1),
    "stride and dilation": _convolution((2, 6, 9, 7), (5, 6, 3, 3), stride=(2, 1), dilation=2),
    "groups": _convolution((2, 6, 9, 7), (4, 3, 3, 3), groups=2),
    "depthwise": _convolution((2, 6, 9, 7), (6, 1, 3, 3), groups=6, padding="same"),
    "even kernel, same": _convolution((2, 6, 9, 7), (5, 6, 4, 2), padding="same"),
    "pointwise with a stride": _convolution((2, 6, 9, 7), (5, 6, 1, 1), stride=2),
    "pointwise with a border": _convolution((2, 6, 9, 7), (5, 6, 1, 1), padding=1),
    "without a batch": _convolution((6, 9, 7), (5, 6, 3, 3)),
    "one dimension": _convolution((2, 6, 9), (5, 6, 3), padding=1),
    "three dimensions": _convolution((1, 4, 5, 6, 7), (3, 4, 3, 3, 3), padding=1),
    "transposed": _transposed(1),
    "transposed in groups": _transposed(2),
    "of what is not contiguous": (
        lambda x, w: F.conv2d(x.transpose(2, 3), w.transpose(2, 3)),
        (IMAGE, rand(5, 6, 3, 2)),
    ),
}

_QUERY, _KEY, _VALUE = rand(2, 2, 37, 8), rand(2, 2, 19, 8, seed=2), rand(2, 2, 19, 8, seed=3)


def _attention(*mask: torch.Tensor, **options: Any) -> tuple[Function, tuple[torch.Tensor, ...]]:
    function = F.scaled_dot_product_attention
    return (lambda *args: function(*args, **options)), (_QUERY, _KEY, _VALUE, *mask)


ATTENTION: Cases = {
    "no mask": _attention(),
    "a scale": _attention(scale=0.3),
    "keys": _attention(rand(2, 1, 1, 19, seed=4) > 0),
    "full": _attention(rand(1, 2, 37, 19, seed=4) > 0),
    "bias": _attention(rand(2, 2, 37, 19, seed=4)),
    "a flat bias": _attention(rand(37, 19, seed=4)),
    "infinite bias": _attention(torch.where(rand(2, 1, 1, 19) > 0, 0.0, -math.inf)),
    "the lowest bias everywhere": _attention(
        torch.full((2, 1, 37, 19), torch.finfo(torch.float32).min)
    ),
    "a row of nothing": _attention(torch.arange(37)[:, None].expand(37, 19) > 2),
    "causal": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        (_QUERY,),
    ),
    "grouped": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True),
        (_QUERY, _KEY, _VALUE),
    ),
    "three dimensions": (
        lambda q, k, v: F.scaled_dot_product_attention(q[0], k[0], v[0]),
        (_QUERY, _KEY, _VALUE),
    ),
    "turned heads": (
        lambda q: F.scaled_dot_product_attention(
            q.transpose(1, 2), q.transpose(1, 2), q.transpose(1, 2)
        ),
        (rand(2, 9, 3, 8),),
    ),
}

#: An nn.Graph takes no tensor without elements, so these are replayed in either mode.
EMPTY: Cases = {
    "nothing in it": (lambda x: (x.sum(0), x + 1, x.mean()), (torch.zeros(0, 3),)),
    "batch norm": (
        lambda x, m, v: F.batch_norm(x, m, v.abs() + 0.1, weight=m, bias=v),
        (IMAGE, rand(6), rand(6, seed=2)),
    ),
    "an empty slice": (lambda x: (x[:, 4:2], x.cumsum(0)), (rand(3, 5),)),
}

GROUPS: dict[str, Cases] = {
    "arithmetic": ARITHMETIC,
    "folds": FOLDS,
    "shapes": SHAPES,
    "products": PRODUCTS,
    "convolutions": CONVOLUTIONS,
    "attention": ATTENTION,
    "empty": EMPTY,
}
