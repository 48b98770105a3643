"""torch.nn.init: OneFlow's initialisers, with torch's `generator` argument."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import oneflow as flow

from sdbackends.oneflow_host.missing_names import missing
from sdbackends.oneflow_host.random import normal_ as draw_normal
from sdbackends.oneflow_host.random import uniform_ as draw_uniform
from sdbackends.oneflow_host.registry import PROVIDED, provides


@provides("torch.nn.init.normal_")
def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    with flow.no_grad():
        return draw_normal(tensor, mean, std, generator=generator)


@provides("torch.nn.init.uniform_")
def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    with flow.no_grad():
        return draw_uniform(tensor, a, b, generator=generator)


def _adapted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def initialise(*args: Any, generator: Any = None, **kwargs: Any) -> Any:
        if generator is not None:
            raise missing(f"torch.nn.init.{name}(generator=…)", "OneFlow draws these by itself")
        return real(*args, **kwargs)

    return initialise


for _name, _real in list(vars(flow.nn.init).items()):
    dotted = f"torch.nn.init.{_name}"
    if _name.endswith("_") and callable(_real) and dotted not in PROVIDED:
        PROVIDED[dotted] = _adapted(_name, _real)
