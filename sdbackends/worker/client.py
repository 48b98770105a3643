"""Our side of a worker: programs that run in another process, and survive its death.

A `Worker` is started by the first thing that needs it. A crash, an abort, a hang past the deadline
or a kill ends the *call* with a named error; the next call starts a new process, once, and the
programs are built there again when they are next run: what they need lives in memory that belongs
to this side. Engine errors end the call too, but the process goes on.
After repeated deaths (see crash_policy.py) the worker stays down.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbackends.capture.graph import Graph
from sdbackends.errors import BackendNotReadyError, BuildError, RunError, SdError
from sdbackends.worker import errors
from sdbackends.worker.buffers import Array
from sdbackends.worker.crash_policy import NOBODY, CrashPolicy
from sdbackends.worker.process import Lost, Process
from sdbackends.worker.program import Placed, RemoteProgram
from sdbackends.worker.protocol import FrameTooLongError, Message
from sdbackends.worker.shared_memory import Segment
from sdbackends.worker.spec import WorkerSpec

__all__ = ["Placed", "RemoteProgram", "Segment", "Worker", "WorkerMemory", "WorkerSpec"]


@dataclass(frozen=True)
class WorkerMemory:
    """What the worker takes, in bytes, shared memory included; zeros where none is running."""

    rss: int
    peak_rss: int


class Worker:
    """An engine in another interpreter. One call at a time, from any thread."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self._lock = threading.Lock()
        self._life = _Life()
        self._about: Message = {}
        self._deaths = CrashPolicy()
        self._gone: deque[tuple[str, int]] = deque()
        self._finalize = weakref.finalize(self, self._life.end)
        _workers.add(self)

    def describe(self) -> dict[str, Any]:
        """What the engine says about itself; starts the worker if need be.

        Raises:
            BackendNotReadyError: it cannot be started, or stays down.
        """
        with self._lock:
            self._started()
            return dict(self._about["about"])

    def refusals(self, graph: Graph) -> dict[str, str]:
        """Why the engine cannot run nodes of the graph, by their names.

        Raises:
            BuildError: the worker died or hung.
            BackendNotReadyError: it cannot be started, or stays down.
        """
        with self._lock:
            process = self._started()
            request = {"do": "check", "graph": graph.to_json()}
            limit = self.spec.build_timeout
            answer = self._ask(process, request, (), limit, graph.hash(), BuildError)
            return dict(answer["refusals"])

    def segment(self, size: int) -> Segment:
        """New shared memory, all zeros, that outlives the worker.

        Raises:
            BuildError: there is no memory of that size.
        """
        try:
            return Segment.create(size, closed=self._forget_memory)
        except OSError as error:
            raise BuildError(
                f"no {size / 2**20:.0f} MiB of memory to share with the {self.spec.name} worker",
                why=str(error),
                fix="a smaller model or precision, or another backend",
            ) from None

    def build(
        self, graph: Graph, weights: Sequence[Placed], constants: Sequence[Array]
    ) -> RemoteProgram:
        """The graph as a program in the worker; weights and constants in the graph's order.

        Raises:
            BuildError: the engine refused it, or the worker died or hung.
            BackendNotReadyError: the worker cannot be started, or stays down.
        """
        program = RemoteProgram(self, graph, weights, constants)
        try:
            with self._lock:
                self._place(program, self._started(), BuildError)
        except BaseException:
            program.close()
            raise
        return program

    def run(self, program: RemoteProgram) -> None:
        """`RemoteProgram.run`, which is what others call."""
        with self._lock:
            process = self._started()
            if program.number not in process.programs:
                self._place(program, process, RunError)
            request = {"do": "run", "program": program.number}
            culprit = program.graph.hash()
            self._ask(process, request, (), self.spec.call_timeout, culprit, RunError)
            self._deaths.make_good(culprit)

    def memory(self) -> WorkerMemory:
        """What the worker's process takes now, and at most so far."""
        process = self._life.process
        if process is None:
            return WorkerMemory(0, 0)
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except FileNotFoundError:
            return WorkerMemory(0, 0)
        # A process that just died still has a status, without these lines.
        sizes = dict(line.split(":", 1) for line in lines if line.startswith("Vm"))
        rss, peak = (int(sizes.get(name, "0").split()[0]) for name in ("VmRSS", "VmHWM"))
        return WorkerMemory(rss * 1024, peak * 1024)

    def close(self) -> None:
        """End the process. A later call starts a new one."""
        with self._lock:
            self._life.end()

    def forget_program(self, number: int) -> None:
        """`RemoteProgram.close`, which is what others call."""
        self._forget("programs", number)

    def _started(self) -> Process:
        """The running process, or a new one."""
        process = self._life.process
        if process is not None and process.alive:
            self._send_gone(process)
            return process
        if process is not None:
            self._life.process = None
            self._deaths.charge(NOBODY, process.bury())
        if self._deaths.too_many:
            raise errors.stays_down(self.spec, self._deaths)
        try:
            process = self._life.start(self.spec)
        except OSError as error:
            raise errors.not_started(self.spec, str(error)) from None
        request = {
            "do": "start",
            "engine": self.spec.engine,
            "options": dict(self.spec.options),
            "path": [str(folder) for folder in self.spec.path],
        }
        try:
            self._about = self._ask(
                process, request, (), self.spec.start_timeout, NOBODY, BackendNotReadyError
            )
        except SdError:
            self._life.end()
            raise
        return process

    def _place(self, program: RemoteProgram, process: Process, error: type[SdError]) -> None:
        """Build the program in this process."""
        answer = self._ask(
            process,
            program.build_request(),
            program.segments(),
            self.spec.build_timeout,
            program.graph.hash(),
            error,
        )
        process.programs.add(program.number)
        program.report = answer["report"]

    def _ask(
        self,
        process: Process,
        request: Message,
        segments: Iterable[Segment],
        timeout: float,
        culprit: str,
        kind: type[SdError],
    ) -> Message:
        """The worker's answer; whatever goes wrong becomes an error of this kind."""
        doing = request["do"]
        try:
            answer = process.ask(request, segments, timeout)
        except FrameTooLongError as long:
            raise errors.refused(self.spec, doing, str(long), kind) from None
        except Lost as lost:
            self._life.process = None
            self._deaths.charge(culprit, lost.why)
            raise errors.lost(self.spec, doing, lost.why, kind) from None
        except BaseException:
            # Interrupted (that is no death): its answer would come too late.
            self._life.end()
            raise
        if "error" in answer:
            raise errors.told(self.spec, doing, answer["error"], kind)
        return answer

    def _forget_memory(self, number: int) -> None:
        self._forget("memory", number)

    def _forget(self, kind: str, number: int) -> None:
        """Tell the worker that it may forget something: now, or else with the next call.

        It may come from a destructor at any moment, also within a call: it never waits.
        """
        self._gone.append((kind, number))
        if self._lock.acquire(blocking=False):
            try:
                if self._life.process is not None:
                    self._send_gone(self._life.process)
            finally:
                self._lock.release()

    def _send_gone(self, process: Process) -> None:
        if not self._gone:
            return
        gone: dict[str, list[int]] = {"programs": [], "memory": []}
        while self._gone:
            kind, number = self._gone.popleft()
            gone[kind].append(number)
        process.forget(**gone)

    def _after_fork(self) -> None:
        """In a forked child: the parent's worker is not ours, and the lock may be held."""
        self._lock = threading.Lock()
        self._life.abandon()


class _Life:
    """The process that a worker has at present; apart, so that it can end after its worker."""

    def __init__(self) -> None:
        self.process: Process | None = None

    def start(self, spec: WorkerSpec) -> Process:
        self.process = Process(spec)
        return self.process

    def end(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()

    def abandon(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.abandon()


#: For the moment when one of our processes forks.
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_workers):
        worker._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
