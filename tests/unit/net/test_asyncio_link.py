"""A link over asyncio's transports: real sockets, and a transport that misbehaves."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from duologue.net.asyncio_link import AsyncioLink


class Owner:
    """Notes what its link tells it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.told: list[Any] = []
        self.changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def eof_received(self) -> None:
        self.told.append("eof")
        self.changed.set()

    def writable(self, yes: bool) -> None:
        self.told.append(yes)
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))
        self.changed.set()

    async def until(self, what: Any) -> None:
        while not (what in self.told if type(what) is not int else len(self.received) >= what):
            self.changed.clear()
            await self.changed.wait()


async def linked() -> tuple[AsyncioLink, Owner, socket.socket]:
    """A link, its owner, and a blocking socket at the other end."""
    ours, theirs = socket.socketpair()
    owner = Owner()
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(
        lambda: AsyncioLink(lambda link: link.attach(owner)), sock=ours
    )
    theirs.setblocking(False)
    return link, owner, theirs


async def read(theirs: socket.socket, octets: int) -> bytes:
    loop = asyncio.get_running_loop()
    got = b""
    while len(got) < octets and (piece := await loop.sock_recv(theirs, 65536)):
        got += piece
    return got


async def test_octets_both_ways() -> None:
    link, owner, theirs = await linked()
    with theirs:
        theirs.send(b"in")
        await owner.until(2)
        assert owner.received == b"in"
        link.write_octets(b"out")
        assert await read(theirs, 3) == b"out"
        assert link.get_extra_info("socket") is not None
        assert link.get_extra_info("nonsense") is None
        link.close_link()
        await owner.until(("lost", None))
        for call in (link.abort_link, link.close_link, link.write_eof, link.pause, link.resume):
            call()
        link.write_octets(b"dropped")
        assert owner.told == [("lost", None)]


async def test_paused_reading() -> None:
    link, owner, theirs = await linked()
    with theirs:
        link.pause()
        link.pause()
        theirs.send(b"later")
        await asyncio.sleep(0.01)
        assert owner.received == b""
        link.resume()
        link.resume()
        await owner.until(5)
        link.abort_link()
        await owner.until(("lost", None))


async def test_the_peer_ends_its_stream() -> None:
    _, owner, theirs = await linked()
    with theirs:
        theirs.shutdown(socket.SHUT_WR)
        await owner.until("eof")
        await owner.until(("lost", None))
        assert owner.told == ["eof", ("lost", None)]


async def test_we_end_our_stream_and_go_on_reading() -> None:
    link, owner, theirs = await linked()
    with theirs:
        link.write_octets(b"last")
        link.write_eof()
        assert await read(theirs, 100) == b"last"
        theirs.send(b"still")
        await owner.until(5)
        link.abort_link()
        await owner.until(("lost", None))


async def test_back_pressure() -> None:
    link, owner, theirs = await linked()
    with theirs:
        link.write_octets(bytes(10_000_000))
        assert owner.told == [False]
        assert len(await read(theirs, 10_000_000)) == 10_000_000
        await owner.until(True)
        link.close_link()
        await owner.until(("lost", None))


async def test_writing_to_a_transport_that_has_failed() -> None:
    """It takes everything at once: who writes for ever would never hear that it is over."""
    link, owner, theirs = await linked()
    theirs.close()
    link.write_octets(b"refused")
    assert owner.told == [False]
    link.write_octets(b"dropped")
    assert owner.told == [False]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    [_, (word, exc)] = owner.told
    assert word == "lost" and isinstance(exc, BrokenPipeError)


async def test_the_owner_may_hand_the_link_over() -> None:
    link, first, theirs = await linked()
    second = Owner()
    first.data_received = lambda data: link.attach(second)  # type: ignore[method-assign]
    with theirs:
        theirs.send(b"1")
        while not second.received:
            theirs.send(b"2")
            await asyncio.sleep(0.001)
        link.close_link()
        await second.until(("lost", None))
        assert first.told == []


class Transport(asyncio.Transport):
    """A transport without half-close that refuses what uvloop's refuses once it closes."""

    def __init__(self) -> None:
        super().__init__({})
        self.calls: list[str] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return "half" in self.calls

    def write_eof(self) -> None:
        raise OSError("reset")

    def close(self) -> None:
        self.closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def pause_reading(self) -> None:
        if self.closing:
            raise RuntimeError("closing")

    resume_reading = pause_reading


def owned() -> tuple[AsyncioLink, Transport]:
    link = AsyncioLink(lambda link: link.attach(object()))  # type: ignore[arg-type]
    transport = Transport()
    link.connection_made(transport)
    return link, transport


def test_without_half_close_ending_is_closing() -> None:
    link, transport = owned()
    link.write_eof()
    link.write_eof()
    assert transport.calls == ["close"]


def test_a_reset_at_the_end_is_told_by_the_transport_only() -> None:
    link, transport = owned()
    transport.calls.append("half")
    link.write_eof()
    assert transport.calls == ["half"]


def test_a_closing_transport_is_not_asked_to_pause() -> None:
    link, transport = owned()
    link.pause()
    transport.closing = True
    link.resume()
    link.pause()


def test_an_opener_that_fails_aborts_and_what_follows_is_harmless() -> None:
    def fail(link: AsyncioLink) -> None:
        raise LookupError

    link = AsyncioLink(fail)
    transport = Transport()
    with pytest.raises(LookupError):
        link.connection_made(transport)
    assert transport.calls == ["abort"]
    assert len(link.get_buffer(-1)) > 0
    link.buffer_updated(1)
    link.eof_received()
    link.pause_writing()
    link.resume_writing()
    link.connection_lost(None)
