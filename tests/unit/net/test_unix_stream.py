"""A Unix socket between our processes, on every event loop that the engine runs in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

from duologue.net.selector import EventLoop
from duologue.net.unix_stream import StreamGroup, UnixStream

from .rig import Errors, Owner, read, watched

MUCH = 3_000_000


class Noting(Owner):
    """An :class:`Owner` that is a protocol."""

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")


@contextlib.contextmanager
def streaming(
    group: StreamGroup | None = None, **on: Callable[..., object]
) -> Iterator[tuple[UnixStream, Noting, socket.socket]]:
    """A stream, its protocol, and the non-blocking socket at the other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    theirs.setblocking(False)
    protocol: Any = Noting(**on)
    stream = UnixStream(asyncio.get_running_loop(), ours, protocol, group)
    try:
        with theirs:
            yield stream, protocol, theirs
    finally:
        stream.abort()


async def test_octets_both_ways(loop_factory: Any) -> None:
    with streaming() as (stream, protocol, theirs):
        assert protocol.told == ["made"]
        assert stream.get_extra_info("socket").family == socket.AF_UNIX
        assert stream.get_extra_info("peername", "nobody") == "nobody"
        theirs.send(b"in")
        await protocol.until(lambda: protocol.received == b"in")
        stream.write(b"now")
        assert theirs.recv(10) == b"now"
        assert not stream.is_closing()
        theirs.close()
        await protocol.until_lost()
        assert protocol.reason is None
        assert stream.is_closing()
        assert watched() == 0


async def test_more_than_the_socket_takes_goes_out_in_order(loop_factory: Any) -> None:
    octets = random.Random(1).randbytes(MUCH)
    with streaming() as (stream, protocol, theirs):
        stream.write(octets[: MUCH // 2])
        assert stream.get_write_buffer_size() > 0
        stream.write(octets[MUCH // 2 :])
        stream.close()
        assert stream.is_closing()
        stream.write(b"too late")
        assert await read(theirs, MUCH + 1) == octets
        await protocol.until_lost()
        assert protocol.reason is None


async def test_much_comes_in_order(loop_factory: Any) -> None:
    octets = random.Random(2).randbytes(MUCH)
    with streaming() as (_, protocol, theirs):
        await asyncio.get_running_loop().sock_sendall(theirs, octets)
        await protocol.until(lambda: len(protocol.received) == MUCH)
        assert protocol.received == octets


async def test_abort_drops_what_is_queued_and_tells_later(loop_factory: Any) -> None:
    with streaming() as (stream, protocol, theirs):
        stream.write(bytes(MUCH))
        stream.abort()
        stream.abort()
        assert protocol.told == ["made"]
        assert stream.get_write_buffer_size() == 0
        await protocol.until_lost()
        assert len(await read(theirs, MUCH)) < MUCH


async def test_one_that_is_gone_can_not_be_written_to(loop_factory: Any) -> None:
    with streaming() as (stream, protocol, theirs):
        theirs.close()
        stream.write(b"x")
        await protocol.until_lost()
        assert isinstance(protocol.reason, BrokenPipeError)


async def test_a_close_that_the_peer_never_reads_ends_with_the_peer(loop_factory: Any) -> None:
    with streaming() as (stream, protocol, theirs):
        stream.write(bytes(MUCH))
        stream.close()
        theirs.close()
        await protocol.until_lost()


async def test_what_the_protocol_raises(loop_factory: Any) -> None:
    def fail(data: bytes) -> None:
        raise ValueError("not understood")

    errors = Errors()
    with streaming(data=fail) as (_, protocol, theirs):
        theirs.send(b"x")
        await protocol.until_lost()
        assert isinstance(protocol.reason, ValueError)
        assert errors.exceptions == [ValueError]


async def test_a_group_is_read_as_a_whole(loop_factory: Any) -> None:
    """Both have something by the time that the second one is read."""
    seen = asyncio.Event()
    group: StreamGroup

    def readable() -> None:
        other.send(b"behind")
        group.read()
        group.read()
        seen.set()

    group = StreamGroup(asyncio.get_running_loop(), readable)
    with streaming(group) as (_, one, their), streaming(group) as (_, two, other):
        assert watched() == 1
        their.send(b"first")
        await seen.wait()
        assert (one.received, two.received) == (b"first", b"behind")
        group.close()
        assert watched() == 1
    assert watched() == 0


async def test_a_closed_group_writes_what_is_queued(loop_factory: Any) -> None:
    def readable() -> None:
        raise AssertionError("nobody is to be told")

    group = StreamGroup(asyncio.get_running_loop(), readable)
    with streaming(group) as (stream, protocol, theirs):
        group.close()
        stream.write(bytes(MUCH))
        stream.close()
        assert await read(theirs, MUCH + 1) == bytes(MUCH)
        await protocol.until_lost()
        assert watched() == 0


async def test_a_call_that_fails_leaves_the_group_as_it_is(loop_factory: Any) -> None:
    calls = []
    group: StreamGroup

    def readable() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")
        group.read()

    group = StreamGroup(asyncio.get_running_loop(), readable)
    errors = Errors()
    with streaming(group) as (_, protocol, theirs):
        theirs.send(b"x")
        await protocol.until(lambda: protocol.received == b"x")
        assert errors.exceptions == [ValueError]
    group.close()


def test_a_loop_that_is_closed_takes_its_streams_along() -> None:
    async def leave() -> list[UnixStream]:
        loop = asyncio.get_running_loop()
        made = []
        for group in (None, StreamGroup(loop, lambda: None)):
            ours, theirs = socket.socketpair(socket.AF_UNIX)
            ours.setblocking(False)
            protocol: Any = Noting()
            made.append(UnixStream(loop, ours, protocol, group))
            kept.append(theirs)
        return made

    kept: list[socket.socket] = []
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        streams = runner.run(leave())
        assert not any(stream.is_closing() for stream in streams)
    assert all(stream.is_closing() for stream in streams)
    for theirs in kept:
        assert theirs.recv(1) == b""
        theirs.close()
