"""The reference engine: torch eager, exactly as the script has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sdbackends.engines.base import EngineContext, ModuleCall, ModuleEngine
from sdbackends.engines.options import take


class EagerEngine(ModuleEngine):
    """Runs the module's own forward. Every other engine is compared with this one."""

    name = "eager"

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        take(self.name, context.options, {})

    def version(self) -> str:
        return torch.__version__

    def build_module(self, call: Callable[..., Any]) -> ModuleCall:
        return lambda call, args, kwargs: call(*args, **kwargs)
