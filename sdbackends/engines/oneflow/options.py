"""The options of the oneflow engine: a backend's yaml in, checked values out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdbackends.errors import UsageError

_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}
_MODES = ("graph", "eager")


@dataclass(frozen=True)
class Options:
    """How graphs run in the worker.

    Attributes:
        mode: "graph" (nn.Graph where it fits) or "eager" (one op after the other).
        graph_memory_limit: bytes that the nn.Graphs of the worker may take together on a CPU;
            None: half of the memory that is free when one is built.
        build_timeout: seconds until a build counts as hung.
        call_timeout: seconds until a call counts as hung.
    """

    mode: str = "graph"
    graph_memory_limit: int | None = None
    build_timeout: float = 600.0
    call_timeout: float = 600.0

    def for_runner(self) -> dict[str, Any]:
        """What the worker's side is told."""
        limit = "auto" if self.graph_memory_limit is None else self.graph_memory_limit
        return {"mode": self.mode, "graph_memory_limit": limit}


def checked(given: Mapping[str, Any]) -> Options:
    """The options of a yaml, with defaults filled in.

    Raises:
        UsageError: an option is unknown, or has a value that is not accepted.
    """
    known = Options.__dataclass_fields__
    for name in given:
        if name not in known:
            raise UsageError(
                f"engine 'oneflow' has no option {name!r}", fix=f"accepted: {', '.join(known)}"
            )
    mode = given.get("mode", Options.mode)
    if mode not in _MODES:
        raise _refused("mode", mode, ", ".join(_MODES))
    return Options(
        mode=mode,
        graph_memory_limit=_bytes(given.get("graph_memory_limit", "auto")),
        build_timeout=_seconds("build_timeout", given),
        call_timeout=_seconds("call_timeout", given),
    )


def _bytes(value: Any) -> int | None:
    if value == "auto":
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    unit = found and (1 if not found[2] else _UNITS.get(found[2].upper()))
    if isinstance(value, bool) or not found or not unit:
        raise _refused("graph_memory_limit", value, 'auto, bytes, or a text such as "8 GB"')
    return int(float(found[1]) * unit)


def _seconds(name: str, given: Mapping[str, Any]) -> float:
    value = given.get(name, getattr(Options, name))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise _refused(name, value, "a number of seconds above 0")
    return float(value)


def _refused(name: str, value: Any, accepted: str) -> UsageError:
    return UsageError(
        f"option {name!r} of engine 'oneflow' cannot be {value!r}", fix=f"accepted: {accepted}"
    )
