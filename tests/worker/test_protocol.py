"""Messages arrive whole or not at all, and garbage is told from a message."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdbackends.worker.protocol import (
    MAX_FRAME,
    PROTOCOL,
    Channel,
    FrameTooLongError,
    ProtocolError,
    SilenceError,
    encode,
)

Ends = tuple[Channel, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Our end, and the bare socket of the other side."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    channel.patience(0.2)
    yield channel, theirs
    channel.close()
    theirs.close()


def frame(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body


@pytest.mark.parametrize("text", ["", "text", "a graph " * 100_000, "\x00 é 圆"])
def test_a_message_arrives(text: str) -> None:
    ours, theirs = map(Channel, socket.socketpair())
    sent = {"do": "build", "graph": text, "weights": [[1, 0, [2, 3], "float32"]]}
    import threading

    sender = threading.Thread(target=ours.send, args=(encode(sent),))
    sender.start()
    received, descriptors = theirs.receive()
    sender.join()
    assert {name: received[name] for name in sent} == sent
    assert descriptors == []


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
def test_descriptors_follow_a_message(count: int) -> None:
    ours, theirs = map(Channel, socket.socketpair())
    sources = [os.memfd_create(str(i)) for i in range(count)]
    for i, source in enumerate(sources):
        os.write(source, str(i).encode())
    ours.send(encode({"do": "x"}, count), sources)
    ours.send(encode({"do": "next"}))
    message, received = theirs.receive()
    assert message["do"] == "x"
    assert [os.pread(fd, 9, 0).decode() for fd in received] == [str(i) for i in range(count)]
    assert theirs.receive()[0]["do"] == "next"
    for descriptor in (*sources, *received):
        os.close(descriptor)


@pytest.mark.parametrize(
    "data",
    [
        b"Hello from a library that prints\n",
        frame(b""),
        frame(b"\xff\xfe"),
        frame(b"{]"),
        frame(b"[1, 2]"),
        frame(b"{}"),
        frame(b"[" * 100_000),
        frame(b'{"protocol": %d}' % PROTOCOL),
        frame(b'{"protocol": %d, "descriptors": true}' % PROTOCOL),
        frame(b'{"protocol": %d, "descriptors": -1}' % PROTOCOL),
        frame(b'{"protocol": %d, "descriptors": 1e9}' % PROTOCOL),
        frame(b'{"protocol": %d, "descriptors": 1}' % PROTOCOL) + b"x",
        struct.pack("!iQ", -1, 2**63),
        struct.pack("!i", -5),
        struct.pack("!i", MAX_FRAME + 1),
    ],
)
def test_garbage_is_no_message(ends: Ends, data: bytes) -> None:
    channel, theirs = ends
    theirs.setblocking(False)
    theirs.send(data)
    with pytest.raises(ProtocolError):
        channel.receive()


def test_the_other_version_is_named(ends: Ends) -> None:
    channel, theirs = ends
    theirs.send(frame(b'{"protocol": 99, "descriptors": 0}'))
    with pytest.raises(ProtocolError, match=f"protocol 99 where this side speaks {PROTOCOL}"):
        channel.receive()


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.send(data)
    theirs.close()
    try:
        with pytest.raises((ProtocolError, EOFError)):
            channel.receive()
    finally:
        channel.close()


@pytest.mark.parametrize(
    "data", [b"", b"\x00", struct.pack("!i", 50) + b"half", struct.pack("!i", -1)]
)
def test_who_stops_in_the_middle_is_not_waited_for(ends: Ends, data: bytes) -> None:
    channel, theirs = ends
    theirs.send(data)
    with pytest.raises(SilenceError):
        channel.receive()


def test_announced_descriptors_that_do_not_come(ends: Ends) -> None:
    channel, theirs = ends
    theirs.send(frame(b'{"protocol": %d, "descriptors": 2}' % PROTOCOL))
    with pytest.raises(SilenceError):
        channel.receive()


def test_who_does_not_read_is_not_waited_for(ends: Ends) -> None:
    channel, _ = ends
    with pytest.raises(SilenceError):
        channel.send(encode({"text": "x" * 10_000_000}))


@pytest.mark.parametrize("data", [b"", b"\x00\x00", struct.pack("!i", 50) + b"half"])
def test_who_is_gone(ends: Ends, data: bytes) -> None:
    channel, theirs = ends
    theirs.send(data)
    theirs.close()
    with pytest.raises(EOFError):
        channel.receive()
    with pytest.raises(EOFError):
        channel.send(encode({}))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameTooLongError, match=str(MAX_FRAME)):
        encode({"graph": "x" * MAX_FRAME})
