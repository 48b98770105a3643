"""The worker as a process: start it, ask it, end it, and say how it died.

A `Process` is one life of a worker. `ask` sends a request and waits for its answer until a
deadline; when there is none, it raises `Lost` with the reason in words, and the process is ended.
What the worker (or a C library in it) prints goes to memory, of which only the end is kept.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from sdbackends.worker.protocol import Channel, Message, ProtocolError, SilenceError, encode
from sdbackends.worker.segment import Segment
from sdbackends.worker.spec import WorkerSpec, clean_environment

#: How often a waiting parent looks whether the process is still there.
_LOOK_SECONDS = 1.0
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


class Lost(Exception):
    """The worker gave no answer and is ended. `why` says how that came, in words."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Process:
    """One life of a worker.

    Raises:
        OSError: the interpreter cannot be started.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.output = Output()
        #: The programs that were built in it, by number.
        self.programs: set[int] = set()
        self._known: set[int] = set()
        self._requests = 0
        ours, theirs = socket.socketpair()
        life, self._life = os.pipe()
        self._channel = Channel(ours)
        try:
            self._popen = self._start(spec, theirs.fileno(), life)
        except BaseException:
            self._close_ends()
            raise
        finally:
            theirs.close()
            os.close(life)

    def _start(self, spec: WorkerSpec, channel: int, life: int) -> subprocess.Popen[bytes]:
        # -I: nothing of the person's Python. -B: no compiled files of another Python in ours.
        flags = ["-I", "-B", "-u"]
        return subprocess.Popen(
            [str(spec.python), *flags, str(_BOOTSTRAP), str(channel), str(life)],
            pass_fds=(channel, life),
            stdin=subprocess.DEVNULL,
            stdout=self.output.descriptor,
            stderr=self.output.descriptor,
            env={**clean_environment(os.environ), **spec.environ},
            # Out of the terminal's reach: what Ctrl-C means is decided here.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, request: Message, segments: Iterable[Segment], timeout: float) -> Message:
        """The answer to a request that needs these segments.

        Raises:
            FrameTooLongError: the request is too long; the worker goes on.
            Lost: it died, gave no answer in time, or answered nonsense.
        """
        deadline = time.monotonic() + timeout
        self._requests += 1
        frame, new = self._frame({**request, "id": self._requests}, segments)
        try:
            self._channel.patience(timeout)
            self._channel.send(frame, [segment.descriptor for segment in new])
            self._known |= {segment.number for segment in new}
            self._wait(deadline, timeout)
            answer, descriptors = self._channel.receive()
            if answer.get("id") != self._requests or descriptors:
                raise ProtocolError(f"an answer to another question: {str(answer)[:200]}")
        except EOFError:
            raise self._lost(self._how_it_ended()) from None
        except ProtocolError as error:
            raise self._lost(f"it answered with {error}") from None
        except SilenceError as error:
            raise self._lost(str(error)) from None
        except TimeoutError as error:
            raise self._lost(str(error)) from None
        self.output.trim()
        return answer

    def forget(self, programs: list[int], memory: list[int]) -> None:
        """Tell it what is needed no more. There is no answer; if it is gone, the next sees it."""
        self.programs -= set(programs)
        self._known -= set(memory)
        frame, _ = self._frame({"do": "forget", "programs": programs, "memory": memory}, ())
        try:
            self._channel.patience(_LOOK_SECONDS)
            self._channel.send(frame)
        except (EOFError, SilenceError):
            self.kill()

    def kill(self) -> None:
        """End it now; nothing of it is left behind."""
        self._popen.kill()
        self._popen.wait()
        self._close_ends()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's worker, so that it ends with the parent."""
        self._close_ends()
        # Not our child: nothing to wait for, and no warning that it still runs.
        self._popen.returncode = 0

    def why_dead(self) -> str:
        """How a process ended that was found dead; it is cleared away."""
        why = self._how_it_ended()
        self.kill()
        return why

    def _frame(self, request: Message, segments: Iterable[Segment]) -> tuple[bytes, list[Segment]]:
        needed = {segment.number: segment for segment in segments}
        new = [segment for number, segment in needed.items() if number not in self._known]
        sizes = [[segment.number, segment.size] for segment in new]
        return encode({**request, "segments": sizes}, len(new)), new

    def _wait(self, deadline: float, timeout: float) -> None:
        """Until there is something to read."""
        while not self._channel.poll(max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic()))):
            # A child of the worker may hold its end of the channel open.
            if not self.alive and not self._channel.poll(0):
                raise EOFError
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no answer within {timeout:g} s; it was ended")
            self.output.trim()

    def _lost(self, why: str) -> Lost:
        words = self.output.last_words()
        self.kill()
        return Lost(why + (f"; its last words:\n{words}" if words else ""))

    def _how_it_ended(self) -> str:
        try:
            code = self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its channel"
        return exit_words(code)

    def _close_ends(self) -> None:
        self._channel.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        self.output.close()


def exit_words(code: int) -> str:
    """An exit status in words; a shell in between tells a signal as 128 + its number."""
    number = -code if code < 0 else code - 128
    if number not in {member.value for member in signal.Signals}:
        return f"it ended with exit code {code}"
    name = signal.Signals(number).name
    hints = {
        "SIGKILL": " (as the kernel does when memory runs out)",
        "SIGABRT": " (a library gave up)",
        "SIGSEGV": " (a crash in C code)",
    }
    return f"it was ended by {name}{hints.get(name, '')}"


class Output:
    """What the worker prints on stdout and stderr: kept in memory, the end of it only."""

    _LIMIT = 256 * 1024
    _KEPT = 8 * 1024
    #: Lines of a C++ stack trace, which would push the message out of sight.
    _STACK = re.compile(r"\s*@\s+0x|\*\*\* Check failure stack trace")

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("sdbackends-output", os.MFD_CLOEXEC)
        import fcntl

        # The worker appends, also after the memory was cut.
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
        self._kept = b""

    def trim(self) -> None:
        """Cut it when it has grown long."""
        if self.descriptor >= 0 and os.fstat(self.descriptor).st_size > self._LIMIT:
            self._kept = self._end()
            os.ftruncate(self.descriptor, 0)

    def last_words(self, lines: int = 8) -> str:
        """The last lines that say something, indented for a message."""
        text = (self._kept + self._end()).decode(errors="replace")
        said = [line.rstrip() for line in text.splitlines() if line.strip()]
        told = [line[:300] for line in said if not self._STACK.match(line)]
        return "\n".join(f"          {line}" for line in told[-lines:])

    def close(self) -> None:
        if self.descriptor >= 0:
            self._kept = self._end()
            os.close(self.descriptor)
            self.descriptor = -1

    def _end(self) -> bytes:
        if self.descriptor < 0:
            return b""
        size = os.fstat(self.descriptor).st_size
        return os.pread(self.descriptor, self._KEPT, max(0, size - self._KEPT))
