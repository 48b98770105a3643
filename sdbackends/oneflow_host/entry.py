"""How a script's own `import torch` becomes the host: what the shim's finder answers.

Asking for torch (its spec, its version) imports no oneflow; importing it begins the session.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from sdbackends.oneflow_host.distribution import TorchDistribution


class _EntryLoader(Loader):
    """Begins the session, which makes the module; there is nothing to execute."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._begin()
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        pass


def spec(begin: Callable[[], Any]) -> ModuleSpec:
    """The spec of `torch`, by a loader that calls `begin` first."""
    return ModuleSpec("torch", _EntryLoader(begin), origin="oneflow", is_package=True)


def distributions(context: DistributionFinder.Context | None) -> Iterable[Distribution]:
    """torch, where it is asked for by name or with all others."""
    wanted = None if context is None else context.name
    return [TorchDistribution()] if wanted in (None, "torch") else []
