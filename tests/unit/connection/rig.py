"""A connection on a transport that moves octets only when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side
from duologue.connection.connection import Connection
from duologue.connection.settings import Settings
from duologue.net.asyncio_link import AsyncioLink
from duologue.protocol.machine import EventMachine
from duologue.wire.frame import Frame


class Wire(asyncio.Transport):
    """The local end of a connection whose network is the test."""

    def __init__(self, protocol: AsyncioLink) -> None:
        super().__init__({"peername": ("10.0.0.1", 9), "sockname": ("10.0.0.2", 80)})
        self.protocol = protocol
        self.open = True
        self.sent = bytearray()
        self.writes = 0
        self.waiting = bytearray()
        self.stuck = False
        self.paused = False
        self.full = False
        self.half_closed = False
        self.closed = False
        self.aborted = False
        self.limits = (0, 0)

    def write(self, data: Any) -> None:
        assert not self.half_closed, "written after the end of the stream"
        self.writes += 1
        if self.stuck:
            self.waiting += data
        else:
            self.sent += data
        if len(self.waiting) > self.limits[0] and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def drain(self, octets: int | None = None) -> None:
        """Let the peer take so many octets, or all and everything that follows."""
        if octets is None:
            self.stuck = False
            octets = len(self.waiting)
        self.sent += self.waiting[:octets]
        del self.waiting[:octets]
        if self.full and len(self.waiting) <= self.limits[1]:
            self.full = False
            self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None and low is not None
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True
        asyncio.get_running_loop().call_soon(self.lose)

    def feed(self, octets: bytes) -> None:
        """Receive octets as an event loop does."""
        while octets:
            buffer = memoryview(self.protocol.get_buffer(-1)).cast("B")
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            octets = octets[count:]
            self.protocol.buffer_updated(count)

    def eof(self) -> None:
        self.protocol.eof_received()

    def lose(self, exc: Exception | None = None) -> None:
        """The end: nothing more will ever come."""
        if self.open:
            self.open = False
            self.closed = True
            self.protocol.connection_lost(exc)


class Rig:
    """A connection, its wire, and the peer at the other end."""

    def __init__(
        self,
        side: Side = Side.SERVER,
        *,
        limits: Limits | None = None,
        extensions: tuple[list[Any], list[Any]] = ([], []),
        connect: type[Connection] = Connection,
        rest: bytes = b"",
        **options: Any,
    ) -> None:
        options = {
            "max_size": ..., "max_queue": ..., "write_limit": ..., "ping_interval": None,
            "ping_timeout": ..., "close_timeout": ..., "logger": None, **options,
        }  # fmt: skip
        self.settings = Settings.resolve(side, limits or Limits(), **options)
        self.ws = connect(self.settings)
        self.ws.extensions = extensions[0]
        self.peer = EventMachine(Side.CLIENT if side is Side.SERVER else Side.SERVER, max_size=None)
        self.peer.extensions = extensions[1]
        links: list[AsyncioLink] = []
        link = AsyncioLink(links.append)
        self.wire = Wire(link)
        link.connection_made(self.wire)
        self.ws.open(link, rest)

    def say(self) -> None:
        """Deliver what the peer has written."""
        self.wire.feed(b"".join(self.peer.data_to_send()))

    def text(self, *texts: str) -> None:
        """Deliver text messages of the peer, all in one piece."""
        for each in texts:
            self.peer.send_text(each.encode())
        self.say()

    def fragments(self, *parts: bytes, fin: bool = False) -> None:
        """Deliver the beginning of a fragmented text message, or all of it."""
        for number, part in enumerate(parts):
            last = fin and number == len(parts) - 1
            if number or self.peer.expect_continuation_frame:
                self.peer.send_continuation(part, last)
            else:
                self.peer.send_text(part, fin=last)
        self.say()

    async def heard(self) -> list[Frame]:
        """Frames that the peer got since the last call."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        octets = bytes(self.wire.sent)
        self.wire.sent.clear()
        self.peer.receive_data(octets)
        return [each for each in self.peer.events_received() if isinstance(each, Frame)]

    async def heard_data(self) -> list[bytes]:
        """Payloads of data frames that the peer got since the last call."""
        kinds = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
        return [bytes(each.data) for each in await self.heard() if each.opcode in kinds]

    def clog(self) -> None:
        """Let the peer take nothing, and fill the link above its high mark."""
        self.wire.stuck = True
        self.ws.send(b"\0" * (self.wire.limits[0] + 65537))


@contextlib.contextmanager
def rig(side: Side = Side.SERVER, **options: Any) -> Iterator[Rig]:
    """A :class:`Rig` that is lost in the end, so that no timer stays."""
    made = Rig(side, **options)
    try:
        yield made
    finally:
        made.wire.lose()


async def turns(count: int = 5) -> None:
    """Let everything run that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)
