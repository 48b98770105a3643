"""Make what answers one of Dynamo's graphs: an engine's program, or eager torch with the reason.

For a graph engine the graph is exported to ATen (or read from disk, where the same graph was kept)
and built; an engine that compiles Dynamo's own graphs gets it as it is. Whatever an engine raises
comes out as an `SdError` with the model, the backend and the reason in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo.exc import RestartAnalysis

from sdbackends import log
from sdbackends.capture.call_record import CallRecord
from sdbackends.capture.dynamo_graph import DynamoGraph, Unkeyed
from sdbackends.capture.export import Capture
from sdbackends.capture.store import CaptureStore
from sdbackends.engines.base import (
    BuiltProgram,
    Engine,
    GraphEngine,
    MissingOp,
    ModuleEngine,
    Program,
)
from sdbackends.engines.op_report import counted, op_lines, place_lines
from sdbackends.errors import BuildError, SdError, UnsupportedOpsError
from sdbackends.runtime.events import Listener
from sdbackends.runtime.graph_call import GraphCall
from sdbackends.runtime.result_check import Checked
from sdbackends.utils.error_text import in_words

#: Seconds after which a build that is still going on says so.
_PATIENCE = 4.0

Tensors = Mapping[str, torch.Tensor]
#: How a graph engine's program is made of a capture; the survey puts another one in its place.
#: The engine, the model's label and the backend's name come first.
Strategy = Callable[[GraphEngine, str, str, Capture, Tensors], Program]


class Builder:
    """Builds the programs of one model.

    Args:
        label: how messages name the model: "unet (UNet2DConditionModel)".
        backend: the backend's name, for messages.
        store: where captures are kept between processes.
    """

    def __init__(
        self,
        label: str,
        backend: str,
        engine: Engine,
        store: CaptureStore,
        listener: Listener | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self.label = label
        self.backend = backend
        self.engine = engine
        self.store = store
        self.listener = listener or Listener()
        self._strategy = strategy or self._build

    def build(
        self, module: torch.fx.GraphModule, inputs: Sequence[Any], call: CallRecord
    ) -> Callable[..., Any]:
        """The program for this graph, with one line on what it took.

        Raises:
            SdError: the graph cannot be captured, or the engine cannot take or build it.
        """
        traced = time.perf_counter() - call.since
        self.listener.building(self.label)
        start = time.perf_counter()
        with patience(f"{self.label}: building for {self.backend} (once for this size) …"):
            try:
                built = self.engine.build_with(self, module, inputs)
            except (SdError, RestartAnalysis):  # the latter asks Dynamo to trace anew
                raise
            except Exception as error:
                raise BuildError(
                    f"{self.label} could not be built for {self.backend}", why=in_words(error)
                ) from error
        seconds = traced + time.perf_counter() - start
        log.note(f"{self.label}: {self.backend}, ready in {seconds:.1f} s ({built.how})")
        self.listener.built(self.label, seconds, traced + built.capture_seconds)
        call.since = time.perf_counter()
        return built.call

    def from_dynamo(
        self, engine: ModuleEngine, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram:
        """Let the engine compile the graph as it is, and hold what it returns against the graph."""
        before = engine.compiled_from_cache()
        program = Checked(module, engine.compile(module, list(inputs)))
        return BuiltProgram(
            program, 0.0, f"program {_origin(engine.compiled_from_cache() > before)}"
        )

    def from_capture(
        self, engine: GraphEngine, module: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> BuiltProgram:
        """Export the graph to ATen, or read what was kept of it, and build it."""
        start = time.perf_counter()
        graph = DynamoGraph(module, inputs)
        key, capture, known = self._capture(graph)
        captured = time.perf_counter() - start
        live = [inputs[place] for place in graph.weights]
        try:
            program = self._program(engine, capture, live)
        except (UnsupportedOpsError, RestartAnalysis):
            raise
        except Exception:
            made = graph.export() if known else capture
            if made.graph == capture.graph:
                raise
            # What was kept is no capture of this graph, whatever its checksum says.
            self.store.save(key, made)
            capture, known = made, False
            program = self._program(engine, capture, live)
        parts = (f"capture {_origin(known)}", f"program {_origin(program.from_cache)}", program.how)
        how = ", ".join(part for part in parts if part)
        return BuiltProgram(GraphCall(graph, capture, program, live), captured, how)

    def _program(
        self, engine: GraphEngine, capture: Capture, live: Sequence[torch.Tensor]
    ) -> Program:
        keys = (value.key for value in capture.graph.weights)
        weights = dict(zip(keys, live, strict=True))
        return self._strategy(engine, self.label, self.backend, capture, weights)

    def _capture(self, graph: DynamoGraph) -> tuple[str, Capture, bool]:
        """Its name on the disk ("": not kept), the capture, and whether it was kept from before."""
        try:
            key = graph.key()
        except Unkeyed as reason:
            log.debug(f"{self.label}: its capture is not kept: {reason}")
            return "", graph.export(), False
        known = self.store.load(key)
        if known is not None:
            return key, known, True
        made = graph.export()
        self.store.save(key, made)
        return key, made, False

    def _build(
        self, engine: GraphEngine, label: str, backend: str, capture: Capture, weights: Tensors
    ) -> Program:
        missing = engine.unsupported(capture.graph)
        if missing:
            raise _unsupported(label, backend, missing)
        return engine.build(capture.graph, weights, capture.constants)


def _origin(kept: bool) -> str:
    return "from cache" if kept else "new"


def _unsupported(label: str, backend: str, missing: tuple[MissingOp, ...]) -> UnsupportedOpsError:
    lines = [line for op in missing for line in op_lines(op)]
    return UnsupportedOpsError(
        f"{label} stays on eager torch",
        why="\n       ".join([f"{backend} lacks {counted(len(missing), 'op')}:", *lines]),
        fix="\n       ".join(place_lines(missing)),
    )


@contextmanager
def patience(text: str) -> Iterator[None]:
    """Say `text` if the block takes long, so that nobody thinks that it hangs."""
    timer = threading.Timer(_PATIENCE, log.note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
