"""How much memory a model's nn.Graph would take on a CPU, from one eager call of the model.

OneFlow's CPU graphs give every intermediate result memory of its own. Counted are the outputs of
the innermost modules, times what such a module makes on its way (a group norm alone makes five),
and the scores of each attention, which is composed in `functional`. A graph then took 0.4 to 0.5 GB
more than counted: 2.4 GB for 1.9, 7.6 GB for 7.2 (UNets of 64 to 256 channels, latents of 32 and
48).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import oneflow as flow

#: Results made for one that an innermost module gives.
_PER_OUTPUT = 4
#: Scores, scaled scores, softmax.
_PER_SCORE = 3

_counting: list[Count] = []


@dataclass
class Count:
    bytes: int = 0


@contextlib.contextmanager
def counted(module: Any) -> Iterator[Count]:
    """Count during one eager call of `module`."""
    count = Count()

    def hook(_module: Any, _args: Any, output: Any) -> None:
        if isinstance(output, flow.Tensor):
            count.bytes += _PER_OUTPUT * output.numel() * output.element_size()

    handles = [m.register_forward_hook(hook) for m in module.modules() if not m._modules]
    _counting.append(count)
    try:
        yield count
    finally:
        _counting.pop()
        for handle in handles:
            handle.remove()


def note_scores(scores: Any) -> None:
    """Called by the attention."""
    if _counting:
        _counting[-1].bytes += _PER_SCORE * scores.numel() * scores.element_size()


def limit(chosen: Literal["auto"] | int) -> float:
    """`options.graph_memory_limit` in bytes; auto: half of the free memory."""
    if chosen != "auto":
        return chosen
    with open("/proc/meminfo", encoding="ascii") as file:
        sizes = dict(line.split(":") for line in file)
    return int(sizes["MemAvailable"].split()[0]) * 1024 / 2
