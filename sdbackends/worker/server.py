"""The worker's side: one thread that waits for a request, lets the engine do it, and answers.

It comes from bootstrap.py with the channel to the parent. An exception out of the engine becomes
the answer; only a crash ends the worker. It runs on CPython 3.10 with numpy and its engine alone.

What the engine gives (`module:function`, called with the options):

    def create(options: dict) -> Runner
    class Runner:
        def describe(self) -> dict                               # JSON
        def refusals(self, graph) -> dict                        # {node's name: why}
        def build(self, graph, weights, constants) -> Loaded     # lists of numpy arrays
    class Loaded:
        report: dict                                             # JSON
        def __call__(self, inputs, outputs) -> None              # fills the outputs
        def close(self) -> None
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from sdbackends.errors import SdError
from sdbackends.utils.error_text import text_of
from sdbackends.worker.protocol import Channel, Message, encode
from sdbackends.worker.shared_memory import Segment

if TYPE_CHECKING:
    from sdbackends.capture.graph import Graph
    from sdbackends.worker.buffers import Array


class LoadedProgram(Protocol):
    """A built graph in the worker."""

    report: dict[str, Any]

    def __call__(self, inputs: list[Array], outputs: list[Array]) -> None: ...
    def close(self) -> None: ...


class WorkerRunner(Protocol):
    """An engine in the worker."""

    def describe(self) -> dict[str, Any]: ...
    def refusals(self, graph: Graph) -> dict[str, str]: ...
    def build(
        self, graph: Graph, weights: list[Array], constants: list[Array]
    ) -> LoadedProgram: ...


@dataclass(frozen=True)
class Resident:
    """A program with the views that its calls work on."""

    loaded: LoadedProgram
    inputs: list[Array]
    outputs: list[Array]


def serve(channel: int) -> None:
    """Answer until the parent is gone."""
    server = Server(Channel(socket.socket(fileno=channel)))
    try:
        while True:
            server.answer_next()
    except EOFError:
        # At once: the parent waits for nothing more, and destructors of C++ statics may hang.
        os._exit(0)


class Server:
    """What lives in a worker: the engine, its programs, the borrowed memory."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._runner: WorkerRunner | None = None
        self._segments: dict[int, Segment] = {}
        self._programs: dict[int, Resident] = {}
        self._requests = {
            "start": self._start,
            "check": self._check,
            "build": self._build,
            "run": self._run,
            "forget": self._forget,
        }

    def answer_next(self) -> None:
        request, descriptors = self._channel.receive()
        for (number, size), descriptor in zip(request["segments"], descriptors, strict=True):
            self._segments[number] = Segment.borrow(number, size, descriptor)
        number = {"id": request["id"]} if "id" in request else {}
        try:
            frame = encode({**number, **self._requests[request["do"]](request)})
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            frame = encode({**number, "error": describe_error(error)})
        if number:
            self._channel.send(frame)

    def _start(self, request: Message) -> Message:
        sys.path[:0] = request["path"]
        import numpy

        module, _, name = request["engine"].partition(":")
        self._runner = getattr(import_module(module), name)(request["options"])
        python = sys.version.split()[0]
        about = self._runner.describe()
        return {"about": about, "python": python, "numpy": numpy.__version__}

    def _check(self, request: Message) -> Message:
        from sdbackends.capture.graph import Graph

        assert self._runner is not None
        return {"refusals": self._runner.refusals(Graph.from_json(request["graph"]))}

    def _build(self, request: Message) -> Message:
        from sdbackends.capture.graph import Graph
        from sdbackends.worker.buffers import Slot, views

        def arrays(name: str) -> list[Array]:
            return views(self._segments, [Slot.from_json(item) for item in request[name]])

        assert self._runner is not None
        graph = Graph.from_json(request["graph"])
        inputs, outputs = arrays("inputs"), arrays("outputs")
        loaded = self._runner.build(graph, arrays("weights"), arrays("constants"))
        self._programs[request["program"]] = Resident(loaded, inputs, outputs)
        return {"report": loaded.report}

    def _run(self, request: Message) -> Message:
        program = self._programs[request["program"]]
        program.loaded(program.inputs, program.outputs)
        return {}

    def _forget(self, request: Message) -> Message:
        for number in request["programs"]:
            if (program := self._programs.pop(number, None)) is not None:
                program.loaded.close()
        for number in request["memory"]:
            # Unmapped when the last view is gone, be it the engine's.
            self._segments.pop(number, None)
        return {}


def describe_error(error: BaseException) -> Message:
    """An exception as JSON: the four parts of one of ours, or the text and the place."""
    if isinstance(error, SdError):
        parts = {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}
        return {"class": type(error).__name__, "parts": parts}
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = f"{os.path.basename(last.filename)}:{last.lineno}, {last.name}" if last else ""
    return {"type": type(error).__name__, "text": text_of(error), "where": where}
