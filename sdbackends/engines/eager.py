"""The reference engine: torch eager, exactly as the script has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sdbackends.engines.base import EngineContext, ModuleEngine
from sdbackends.engines.options import EagerOptions


class EagerEngine(ModuleEngine):
    """Runs the graph as torch does. The router sends it no call."""

    name = "eager"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        EagerOptions.checked(context.options)

    def version(self) -> str:
        return torch.__version__

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        return graph
