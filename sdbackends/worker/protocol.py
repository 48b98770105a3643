"""Messages between the two sides of a worker: JSON in byte frames, and file descriptors.

A message is one JSON object in one frame, as `multiprocessing.connection` has them (a length, then
the bytes), over a socket pair; descriptors follow it by SCM_RIGHTS. Nothing is unpickled.
What comes in may be anything, because the other side runs C libraries: whatever is no message of
this version ends in one `ProtocolError`. Standard library only: the worker runs it too.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from multiprocessing import reduction
from typing import Any

#: Raised whenever a message changes its meaning; it stands in every message.
PROTOCOL = 1
#: The graph of a big model is about a megabyte; a longer frame is garbage.
MAX_FRAME = 64 * 2**20
#: The kernel passes at most 253 descriptors at a time.
_MAX_DESCRIPTORS = 200

Message = dict[str, Any]


class ProtocolError(Exception):
    """The bytes that came in are no message of this protocol."""


class FrameTooLongError(Exception):
    """A message is too long to be sent; nothing of it was."""


class SilenceError(Exception):
    """The other side stopped in the middle of a message, or does not read what it is sent."""


class Channel:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._deadline: float | None = None

    def patience(self, seconds: float) -> None:
        """How long all that follows may wait for the other side before it is a `SilenceError`."""
        self._deadline = time.monotonic() + seconds

    def poll(self, seconds: float) -> bool:
        """Whether, within that time, something came in or the other side was gone."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def send(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send what `encode` made, and the descriptors that it announced.

        Raises:
            EOFError: the other side is gone.
            SilenceError: the other side does not read.
        """
        try:
            self._in_time().sendall(struct.pack("!i", len(frame)) + frame)
            for start in range(0, len(descriptors), _MAX_DESCRIPTORS):
                some = list(descriptors[start : start + _MAX_DESCRIPTORS])
                reduction.sendfds(self._in_time(), some)
        except TimeoutError:
            raise SilenceError("it does not read what it is sent") from None
        except OSError as error:
            raise EOFError(f"the other side is gone ({error})") from None

    def receive(self) -> tuple[Message, list[int]]:
        """The next message, and its descriptors, which are the caller's to close.

        Raises:
            EOFError: the other side is gone.
            ProtocolError: what came in is no message.
            SilenceError: it stops in the middle.
        """
        try:
            message = decode(self._frame())
            descriptors: list[int] = []
            while missing := message["descriptors"] - len(descriptors):
                count = min(missing, _MAX_DESCRIPTORS)
                descriptors += reduction.recvfds(self._in_time(), count)
        except TimeoutError:
            raise SilenceError("its message stops in the middle") from None
        except RuntimeError as error:
            raise ProtocolError(f"no file descriptors where they were announced: {error}") from None
        except OSError as error:
            raise EOFError(f"the other side is gone ({error})") from None
        return message, descriptors

    def close(self) -> None:
        self._socket.close()

    def _frame(self) -> bytes:
        (length,) = struct.unpack("!i", self._read(4))
        if length == -1:  # a longer one follows
            (length,) = struct.unpack("!Q", self._read(8))
        if not 0 <= length <= MAX_FRAME:
            raise ProtocolError(f"a frame that claims more than {MAX_FRAME} bytes")
        return self._read(length)

    def _read(self, size: int) -> bytes:
        """So many bytes and no more: descriptors would be lost with the byte that brings them."""
        data = bytearray()
        while len(data) < size:
            piece = self._in_time().recv(size - len(data))
            if not piece:
                raise EOFError("the other side is gone")
            data += piece
        return bytes(data)

    def _in_time(self) -> socket.socket:
        """The socket, whose next read or write ends at the deadline."""
        if self._deadline is not None:
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        return self._socket


def encode(message: Message, descriptors: int = 0) -> bytes:
    """The frame of a message that so many descriptors follow.

    Raises:
        FrameTooLongError: the other side would not accept it.
    """
    whole = {"protocol": PROTOCOL, "descriptors": descriptors, **message}
    frame = json.dumps(whole, separators=(",", ":")).encode()
    if len(frame) > MAX_FRAME:
        raise FrameTooLongError(f"a message of {len(frame)} bytes; the limit is {MAX_FRAME}")
    return frame


def decode(frame: bytes) -> Message:
    """The message in a frame.

    Raises:
        ProtocolError: there is none in it.
    """
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise ProtocolError(f"a frame that is no JSON: {frame[:60]!r}") from None
    if not isinstance(message, dict) or "protocol" not in message:
        raise ProtocolError(f"a frame that is no message: {frame[:60]!r}")
    if message["protocol"] != PROTOCOL:
        raise ProtocolError(
            f"a message of protocol {message['protocol']!r} where this side speaks {PROTOCOL}: "
            "sdbackends was changed while it ran"
        )
    descriptors = message.get("descriptors")
    if type(descriptors) is not int or not 0 <= descriptors <= 10_000:
        raise ProtocolError(f"a message with {descriptors!r} descriptors")
    return message
