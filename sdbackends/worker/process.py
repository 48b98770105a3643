"""The worker as a process: start it, ask it, end it, and say how it died.

A `Process` is one life of a worker. `ask` sends a request and waits for its answer until a
deadline; when there is none, it raises `Lost` with the reason in words, and the process is ended.
What the worker (or a C library in it) prints goes to memory, of which only the end is kept.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from sdbackends.worker import session
from sdbackends.worker.native_errors import exit_status
from sdbackends.worker.output import Output
from sdbackends.worker.protocol import Channel, Message, ProtocolError, SilenceError, encode
from sdbackends.worker.shared_memory import Segment
from sdbackends.worker.spec import WorkerSpec, clean_environment

#: How often a waiting parent looks whether the process is still there.
_LOOK_SECONDS = 1.0
#: How long a process may take to end after it closed its channel.
_END_SECONDS = 5.0
_BOOTSTRAP = Path(__file__).resolve().with_name("bootstrap.py")


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
        self._output = Output()
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
            stdout=self._output.fileno(),
            stderr=self._output.fileno(),
            env={**clean_environment(os.environ), **spec.environ},
            # Out of the terminal's reach: what Ctrl-C means is decided here.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        if self._popen.returncode is not None:
            return False
        # Asked without waiting for it, so that its number stays its own until `kill`.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, flags) is None
        except ChildProcessError:  # the script waits for all children, whosever they are
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
        descriptors = [segment.descriptor for segment in new]
        if self._requests > 1:  # what it said while it started is about the first
            self._output.mark()
        try:
            self._channel.patience(timeout)
            self._channel.send(frame, descriptors)
            self._known |= {segment.number for segment in new}
            self._wait(deadline, timeout)
            answer, _ = self._channel.receive()
            if answer.get("id") != self._requests:
                raise ProtocolError(f"an answer to another question: {str(answer)[:200]}")
        except EOFError:
            raise Lost(self.bury()) from None
        except ProtocolError as error:
            raise Lost(self._end(f"nonsense came from it: {error}")) from None
        except (SilenceError, TimeoutError) as error:
            raise Lost(self._end(str(error))) from None
        return answer

    def forget(self, programs: list[int], memory: list[int]) -> None:
        """Tell it what is needed no more. There is no answer; who asks next sees it dead."""
        self.programs -= set(programs)
        self._known -= set(memory)
        frame, _ = self._frame({"do": "forget", "programs": programs, "memory": memory}, ())
        try:
            self._channel.patience(_LOOK_SECONDS)
            self._channel.send(frame)
        except (EOFError, SilenceError):
            self._end_session()

    def kill(self) -> None:
        """End it now, with all that it has started; nothing of it is left behind."""
        self._end_session()
        self._popen.wait()
        self._close_ends()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's worker, so that it ends with the parent."""
        self._close_ends()
        # Not our child: nothing to wait for, and no warning that it still runs.
        self._popen.returncode = 0

    def bury(self) -> str:
        """Clear away a process that was found dead, or is to be; says how it ended, in words."""
        deadline = time.monotonic() + _END_SECONDS
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        why = "it closed its channel"
        if not self.alive:
            self._end_session()
            why = exit_status(self._popen.wait())
        return self._end(why)

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
            self._output.trim()

    def _end(self, why: str) -> str:
        """Kill it; `why` with its last words."""
        words = self._output.last_words()
        self.kill()
        return f"{why}; its last words:\n          {words}" if words else why

    def _end_session(self) -> None:
        # Once it was waited for, its number may be that of somebody else's session.
        if self._popen.returncode is None:
            session.kill(self.pid)

    def _close_ends(self) -> None:
        self._channel.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        self._output.close()
