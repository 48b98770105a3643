"""The hooks by which transformers records what a model's layers give.

It registers them on the layers at the first call that asks for hidden states or attentions, under a
lock. Dynamo cannot trace the lock: the graph breaks, each hook is compiled as a function of its
own, and after a few dozen such models in one process (two for every SDXL) Dynamo gives up. So they
are registered before an engine sees the call.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

import torch

_LAY = "maybe_install_capturing_hooks"


def apply(module: torch.nn.Module, kwargs: Mapping[str, Any]) -> None:
    """Register them where `module`, or a model inside it, would in a call with `kwargs`."""
    base = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", None)
    lay_on = getattr(sys.modules.get("transformers.utils.output_capturing"), _LAY, None)
    # Asked first: the parts of a UNet are many, and this is done at every call.
    if base is None or lay_on is None or not isinstance(module, base):
        return
    for part in module.modules():
        if not isinstance(part, base) or not _lays_some(type(part).forward):
            continue
        for kind in part._can_record_outputs or ():
            name = f"output_{kind}"
            if kwargs.get(name, getattr(part.config, name, False)):
                lay_on(part)


@functools.cache
def _lays_some(forward: Any) -> bool:
    """Whether one of its decorators does: put on a model that leaves it to one inside, twice."""
    while forward is not None:
        if _LAY in getattr(getattr(forward, "__code__", None), "co_names", ()):
            return True
        forward = getattr(forward, "__wrapped__", None)
    return False
