"""Functions of single ops with awkward arguments, by what is awkward about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.engines.calls import rand

IMAGE = rand(2, 6, 9, 7)
IDS = torch.tensor([[3, 1, 4], [1, 5, 0]])
INTS = torch.tensor([[-7, 7, 3], [-1, 0, 5]])
MASK = torch.tensor([[True, False, True], [False, False, False]])

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
    "unfold": (
        lambda x: (
            x.unfold(1, 3, 2),
            x.unfold(-2, 2, 1),
            x.unfold(0, 4, 1),
            x[0, 0].unfold(0, 1, 1),
        ),
        (rand(4, 7),),
    ),
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
    "ranges of integers whose bounds are none": (
        lambda x: (
            x[0] + torch.arange(0.5, 5.9, 1.7, dtype=torch.int64),
            torch.linspace(-3, 4, 5, dtype=torch.int64),
            torch.linspace(2, 9, 1),
        ),
        (INTS[:, :1],),
    ),
    "indices without an axis": (
        lambda x, i: (x.gather(0, i), x.scatter(0, i, x + 1), x.index_select(0, i)),
        (torch.tensor(3.0), torch.tensor(0)),
    ),
    "indices of nothing": (
        lambda x, i: (x.gather(1, i), x.scatter(1, i, x)),
        (rand(4, 6), torch.empty(0, dtype=torch.int64)),
    ),
    "products of integers with factors that are none": (
        lambda x: (
            torch.addmm(x[:, 0], x, x.mT, beta=1.5, alpha=2.5),
            torch.baddbmm(x[:, :2], x[None], x.mT[None], beta=1.5, alpha=2.5),
        ),
        (INTS,),
    ),
    "group norm of nothing": (lambda x: F.group_norm(x, 3), (rand(0, 6, 5),)),
    "a view that splits": (lambda x: x.view(2, 3, 2, 63).transpose(1, 2), (IMAGE,)),
}
