"""The options of a backend in which oneflow takes torch's place (`host: oneflow`)."""

from __future__ import annotations

from pydantic import Field

from sdbackends.engines.oneflow.options import MemoryLimit
from sdbackends.engines.options import EngineOptions


class OneflowHostOptions(EngineOptions):
    """Hold which calls become graphs, and how many are kept."""

    engine = "oneflow"

    graph_memory_limit: MemoryLimit = "auto"
    graphs: int = Field(
        4, ge=1, description="a number from 1 on: how many call signatures are kept as graphs"
    )
