"""The options of the oneflow engine: a backend's yaml in, checked values out."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field

from sdbackends.engines.options import EngineOptions


def _whole(value: Any) -> Any:
    """Refuse what follows the unit, which ByteSize passes over."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[\d.]*\s*\w*\s*", value):
        raise ValueError("a size is a number and a unit")
    return value


MemoryLimit = Annotated[
    Literal["auto"] | ByteSize,
    BeforeValidator(_whole),
    Field(
        description='auto, bytes, or a text such as "8 GB": what nn.Graphs may take together on a '
        "CPU; auto is half of the free memory"
    ),
]
Seconds = Annotated[float, Field(gt=0)]


class OneflowOptions(EngineOptions):
    """Hold how graphs run in the worker."""

    engine = "oneflow"

    mode: Literal["graph", "eager"] = Field(
        "graph", description="an nn.Graph where it fits, or one op after the other"
    )
    graph_memory_limit: MemoryLimit = "auto"
    build_timeout: Seconds = Field(
        600.0, description="a number of seconds above 0, until a build counts as hung"
    )
    call_timeout: Seconds = Field(
        600.0, description="a number of seconds above 0, until a call counts as hung"
    )

    def for_runner(self) -> dict[str, Any]:
        """Give what the worker's side is told."""
        return self.model_dump(include={"mode", "graph_memory_limit"})
