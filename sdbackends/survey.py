"""The survey: which ops a script's models need and their engines lack, found without running them.

Laid over the router, it has every call of a model captured and held against the engine's table, and
answers with zeros of the right shapes: no model runs, and a whole pipeline is gone through in the
time that the captures take. What it finds goes into a file, a line a finding, which
`sdbackends ops` reads in the process outside. Pictures of zeros are not saved.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from sdbackends import say
from sdbackends.build import Builder, Invocation
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import Ref
from sdbackends.engines.base import CallSite, GraphEngine, MissingOp
from sdbackends.errors import SdError
from sdbackends.host.imports import when_imported
from sdbackends.host.overlay import Overlay
from sdbackends.route import Router, label_of, part_of


@dataclass(frozen=True)
class Finding:
    """One model at one size: what is missing, or why nothing of it can reach the engine."""

    model: str
    backend: str
    missing: tuple[MissingOp, ...] = ()
    obstacle: str = ""


def lay(file: Path, overlay: Overlay) -> None:
    """Survey this process into `file` until `overlay` is undone. Laid after the router."""

    def found(finding: Finding) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(dataclasses.asdict(finding)) + "\n")

    overlay.set(Builder, "build", _surveyed(found))
    overlay.set(Router, "_fall_back", _told(Router._fall_back, found))
    when_imported("PIL.Image", lambda m: _keep_from_saving(m, overlay), overlay)


def read(file: Path) -> list[Finding]:
    """What the process that was surveyed into `file` has found so far."""
    if not file.exists():
        return []
    return [_finding(json.loads(line)) for line in file.read_text("utf-8").splitlines()]


@dataclass(frozen=True)
class _Nothing:
    """A program that runs nothing: zeros, of the shapes that the model would give."""

    capture: Capture

    def run(self, invocation: Invocation) -> Any:
        graph = self.capture.graph
        specs = graph.specs()
        tensors = invocation.signature.tensors
        device = tensors[0].device if tensors else torch.device("cpu")
        outputs = []
        for output in graph.outputs:
            spec = specs[output.name] if isinstance(output, Ref) else None
            if spec is not None:
                dtype = getattr(torch, spec.dtype)
                outputs.append(torch.zeros(spec.shape, dtype=dtype, device=device))
        return self.capture.result(outputs)

    def rebind(self, module: torch.nn.Module) -> bool:
        return True

    def close(self) -> None: ...


def _surveyed(found: Callable[[Finding], None]) -> Callable[[Builder, Invocation], _Nothing]:
    def build(builder: Builder, invocation: Invocation) -> _Nothing:
        captured, _ = builder._capture(invocation)
        missing: tuple[MissingOp, ...] = ()
        if isinstance(builder.engine, GraphEngine):
            missing = builder.engine.unsupported(captured.graph)
        found(Finding(builder.label, builder.backend, missing))
        return _Nothing(captured)

    return build


def _told(fall_back: Callable[..., Any], found: Callable[[Finding], None]) -> Callable[..., Any]:
    """A call that cannot be captured runs on torch, and the report says why."""

    @functools.wraps(fall_back)
    def told(router: Router, error: SdError, module: torch.nn.Module, *rest: Any) -> Any:
        backend = router.settings.backend.of(part_of(module)) or ""
        found(Finding(label_of(module), backend, obstacle=error.why or error.what))
        return fall_back(router, error, module, *rest)

    return told


def _keep_from_saving(pil: ModuleType, overlay: Overlay) -> None:
    def save(image: Any, place: Any, *args: Any, **kwargs: Any) -> None:
        say.note(f"{place} is not written: nothing was drawn")

    overlay.set(pil.Image, "save", save)


def _finding(record: dict[str, Any]) -> Finding:
    missing = tuple(
        MissingOp(op["op"], tuple(CallSite(**site) for site in op["sites"]), op["place"])
        for op in record.pop("missing")
    )
    return Finding(**record, missing=missing)
