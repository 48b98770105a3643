"""The survey: which ops a script's models need and their engines lack, found without running them.

Every call of a model is captured and held against the engine's table, and is answered with zeros of
the right shapes: no model runs, and a whole pipeline is gone through in the time that the captures
take. What it finds goes into a file, a line a finding, which `sdbackends ops` reads in the process
outside. Pictures of zeros are not saved.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from sdbackends import log
from sdbackends.capture.export import Capture
from sdbackends.capture.graph import Graph
from sdbackends.engines.base import CallSite, GraphEngine, MissingOp, Program
from sdbackends.errors import SdError
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches
from sdbackends.runtime.events import Listener


@dataclass(frozen=True)
class SurveyedModel:
    """One model at one size: what is missing, or why nothing of it can reach the engine."""

    model: str
    backend: str
    missing: tuple[MissingOp, ...] = ()
    obstacle: str = ""


class OpSurvey(Listener):
    """Writes what it finds into `file`, a line a finding."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def build(
        self,
        engine: GraphEngine,
        label: str,
        backend: str,
        capture: Capture,
        weights: Mapping[str, torch.Tensor],
    ) -> Program:
        """A program of zeros (`build.Strategy`), with what the engine lacks written down."""
        self._found(SurveyedModel(label, backend, engine.unsupported(capture.graph)))
        return _Nothing(capture.graph)

    def fell_back(self, label: str, backend: str, error: SdError) -> None:
        """A call that cannot be captured runs on torch, and the report says why."""
        self._found(SurveyedModel(label, backend, obstacle=error.why or error.what))

    def keep_pictures_from_saving(self, patches: Patches) -> None:
        when_imported("PIL.Image", lambda m: _keep_from_saving(m, patches), patches)

    def _found(self, finding: SurveyedModel) -> None:
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(dataclasses.asdict(finding)) + "\n")


def read(file: Path) -> list[SurveyedModel]:
    """What the process that was surveyed into `file` has found so far."""
    if not file.exists():
        return []
    return [_finding(json.loads(line)) for line in file.read_text("utf-8").splitlines()]


class _Nothing(Program):
    """A program that runs nothing: zeros, of the shapes that the model would give."""

    def __init__(self, graph: Graph) -> None:
        self._specs = graph.output_specs()

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        device = inputs[0].device if inputs else torch.device("cpu")
        return [
            torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=device)
            for spec in self._specs
        ]

    def rebind(self, weights: Mapping[str, torch.Tensor]) -> None: ...


def _keep_from_saving(pil: ModuleType, patches: Patches) -> None:
    def save(image: Any, place: Any, *args: Any, **kwargs: Any) -> None:
        log.note(f"{place} is not written: nothing was drawn")

    patches.set(pil.Image, "save", save)


def _finding(record: dict[str, Any]) -> SurveyedModel:
    missing = tuple(
        MissingOp(op["op"], tuple(CallSite(**site) for site in op["sites"]), op["place"])
        for op in record.pop("missing")
    )
    return SurveyedModel(**record, missing=missing)
