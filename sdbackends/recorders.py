"""The hooks by which transformers records what a model's layers give.

It lays them on the layers at the first call that asks for hidden states or attentions, under a
lock. In a capture that is an effect of the call. Dynamo cannot trace the lock either: the graph
breaks, each hook is compiled as a function of its own, and after a few dozen such models in one
process (two for every SDXL) Dynamo gives up. So they are laid before an engine sees the call.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

_HOME = "transformers.utils.output_capturing"


def lay(module: torch.nn.Module, kwargs: Mapping[str, Any]) -> None:
    """Lays them where `module`, or a model inside it, would lay them in a call with `kwargs`."""
    lay_on = getattr(sys.modules.get(_HOME), "maybe_install_capturing_hooks", None)
    if lay_on is None:
        return
    for part in module.modules():
        config = getattr(part, "config", None)
        for kind in getattr(part, "_can_record_outputs", None) or ():
            name = f"output_{kind}"
            if kwargs.get(name, getattr(config, name, False)):
                lay_on(part)
