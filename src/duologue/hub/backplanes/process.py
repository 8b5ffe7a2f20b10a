"""The bus's end of one connection: reads what a process says, and writes to it what it should know.

What is written in one turn of the loop goes out together. Invariant: no more than
``Limits.max_backlog`` octets wait, except for a single frame.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from duologue.base.exceptions import BackplaneError
from duologue.hub.backplanes import framing
from duologue.hub.backplanes.framing import EVERYBODY, NAME, Frames, Kind, frame
from duologue.hub.backplanes.private import check_owner

if TYPE_CHECKING:
    from duologue.hub.backplanes.bus import Bus


class Process(asyncio.Protocol):
    """One connection to the bus.

    Args:
        bus: what it is connected to.

    Attributes:
        name: the process's, empty until it has said who it is.
        heard: when the last octets came, in the loop's time.
    """

    def __init__(self, bus: Bus) -> None:
        self.name = ""
        self.heard = asyncio.get_running_loop().time()
        self._bus = bus
        most = bus.limits.max_backlog
        self._frames = Frames(None if most is None else most + (1 << 20))
        self._out: list[bytes] = []
        self._octets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask who it is, and wait for its greeting."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._bus.met(self)
        try:
            check_owner(transport.get_extra_info("socket"))
        except BackplaneError as exc:
            self.cut_off(str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the bus."""
        self._bus.leave(self)

    def cut_off(self, reason: str) -> None:
        """End the connection at once."""
        if not self.transport.is_closing():
            self._bus.logger.warning("process %s is cut off: %s", self.name or "unknown", reason)
            self.transport.abort()

    def write(self, octets: bytes) -> None:
        """Queue a frame; what waits is bounded."""
        if self.transport.is_closing():
            return
        most = self._bus.limits.max_backlog
        waiting = self._octets + self.transport.get_write_buffer_size()
        if most is not None and waiting and waiting + len(octets) > most:
            self.cut_off(f"more than max_backlog={most} octets wait for it")
            return
        if not self._out:
            self._bus.flush_later(self)
        self._out.append(octets)
        self._octets += len(octets)

    def flush(self) -> None:
        """Write what waits."""
        out, self._out = self._out, []
        self._octets = 0
        if not self.transport.is_closing():
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Do what the frames say."""
        self.heard = asyncio.get_running_loop().time()
        try:
            for kind, body in self._frames.feed(data):
                if self.transport.is_closing():
                    return
                if not self.name and kind != Kind.HELLO:
                    raise ValueError("the first frame is no greeting")
                self._handlers[kind](self, body)
        except (ValueError, KeyError, IndexError, struct.error) as exc:
            self.cut_off(f"it does not speak as this version does: {exc!r}")

    # -- what a process says

    def _hello(self, body: bytes) -> None:
        if body[0] != framing.VERSION or len(body) != 1 + NAME:
            raise ValueError(f"it speaks version {body[0]}, not {framing.VERSION}")
        self.name = body[1:].decode()
        self._bus.welcome(self)

    def _interest(self, body: bytes) -> None:
        self._bus.interests.add(self, body.decode())

    def _no_interest(self, body: bytes) -> None:
        self._bus.interests.discard(self, body.decode())

    def _publish(self, body: bytes) -> None:
        self._bus.publish_later(self, body)

    def publish(self, body: bytes) -> None:
        """Give a message of the process its position, and write it to those that want it."""
        topic = framing.topic_of(body)
        position = framing.number(self._bus.take_position(topic))
        peers = self._bus.interests.peers(topic)
        if peers and (len(peers) > 1 or self not in peers):
            octets = frame(Kind.DELIVER, position, body)
            for peer in list(peers):
                if peer is not self:
                    peer.write(octets)
        self.write(frame(Kind.POSITION, position))

    def _request(self, body: bytes) -> None:
        _, identifier, question = framing.address_of(body)
        others = [peer for peer in self._bus.processes.values() if peer is not self]
        names = [peer.name.encode() for peer in others]
        self.write(frame(Kind.ASKED, framing.addressed(self.name, identifier, *names)))
        octets = frame(Kind.REQUEST, framing.addressed(self.name, identifier, question))
        for peer in others:
            peer.write(octets)

    def _answer(self, body: bytes) -> None:
        name, identifier, answer = framing.address_of(body)
        asker = self._bus.processes.get(name)
        if asker is not None:
            asker.write(frame(Kind.ANSWER, framing.addressed(self.name, identifier, answer)))

    def _tell(self, body: bytes) -> None:
        name, _, words = framing.address_of(body)
        octets = frame(Kind.TELL, framing.addressed(self.name, 0, words))
        if name == EVERYBODY:
            self._bus.write_all(octets, self)
        elif name in self._bus.processes:
            self._bus.processes[name].write(octets)

    def _ping(self, body: bytes) -> None:
        self.write(frame(Kind.PING))

    _handlers: ClassVar[dict[int, Callable[[Process, bytes], None]]] = {
        Kind.HELLO: _hello,
        Kind.INTEREST: _interest,
        Kind.NO_INTEREST: _no_interest,
        Kind.PUBLISH: _publish,
        Kind.REQUEST: _request,
        Kind.ANSWER: _answer,
        Kind.TELL: _tell,
        Kind.PING: _ping,
    }
