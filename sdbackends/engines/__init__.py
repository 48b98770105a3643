"""Which engines there are, and how one is made from its name in a backend's yaml.

Engines are named as text, so that looking at this table imports no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdbackends.engines.base import EngineContext, GraphEngine, ModuleEngine

#: Engine name -> "module:class".
ENGINES = {
    "eager": "sdbackends.engines.eager:EagerEngine",
    "inductor": "sdbackends.engines.inductor:InductorEngine",
    "jax": "sdbackends.engines.jax.engine:JaxEngine",
    "oneflow": "sdbackends.engines.oneflow.engine:OneflowEngine",
}


def create(engine: str, context: EngineContext) -> GraphEngine | ModuleEngine:
    """Make the engine.

    Raises:
        BackendNotReadyError: its runtime or the device asked for is missing.
        UsageError: an option is not one of the engine's.
    """
    module, _, name = ENGINES[engine].partition(":")
    made: GraphEngine | ModuleEngine = getattr(import_module(module), name)(context)
    return made
