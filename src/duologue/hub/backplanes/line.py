"""A process's end of its connection to the bus: cuts it into frames, and shows that both ends live.

Knows the frames; what they mean is its owner's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol

from duologue.base.exceptions import BackplaneError
from duologue.hub.backplanes import framing
from duologue.hub.backplanes.framing import Frames, Kind, frame
from duologue.hub.backplanes.private import check_owner
from duologue.hub.message import Message


class Owner(Protocol):
    """What a line calls."""

    def connected(self, line: Line) -> None:
        """The connection is there: greet the bus."""

    def lost(self, line: Line | None) -> None:
        """The connection is gone."""

    def welcome(self, line: Line, names: list[str]) -> None:
        """The bus answers, and names the other processes."""

    def peer_joined(self, name: str) -> None:
        """Another process is there."""

    def peer_gone(self, name: str) -> None:
        """Another process is there no more."""

    def positioned(self, position: int) -> None:
        """The first message that has no position yet has this one."""

    def deliver(self, message: Message) -> None:
        """A message of another process."""

    def asked(self, peer: str, identifier: int, question: bytes) -> None:
        """A question of another process."""

    def expect(self, identifier: int, names: list[str]) -> None:
        """Who was asked a question of this process."""

    def answered(self, identifier: int, peer: str, answer: bytes) -> None:
        """What one of them answers."""

    def told(self, peer: str, words: bytes) -> None:
        """What another process says."""


class Line(asyncio.Protocol):
    """One connection to the bus, from its beginning to its end.

    Args:
        owner: what it tells.
        lease: seconds without a sign of life until it gives the bus up, ``None`` for any.

    Attributes:
        ended: done when the connection is lost.
        welcomed: whether the bus has answered the greeting; the owner sets it.
    """

    def __init__(self, owner: Owner, lease: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.welcomed = False
        self._owner = owner
        self._lease = lease
        self._loop = loop
        self._frames = Frames()
        self._out: list[bytes] = []
        self._heard = loop.time()
        self._interval = 0.0 if lease is None else lease / 3
        self._look_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the bus."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        try:
            check_owner(transport.get_extra_info("socket"))
        except BackplaneError:
            transport.abort()
            return
        self._owner.connected(self)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner."""
        if self._timer is not None:
            self._timer.cancel()
        self._owner.lost(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def write(self, octets: bytes) -> None:
        """Queue a frame; all of a turn go out together."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(octets)

    def flush(self) -> None:
        """Write what waits, without waiting for the end of the turn."""
        out, self._out = self._out, []
        if out and not self.transport.is_closing():
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    # -- signs of life

    def _look_later(self) -> None:
        if self._lease is None:
            return
        self._look_at = self._loop.time() + self._interval
        self._timer = self._loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        """Give a sign of life, and give up a bus that gives none."""
        now = self._loop.time()
        assert self._lease is not None
        if now - self._heard > self._lease and now - self._look_at < self._interval:
            self.transport.abort()
            return
        self.write(frame(Kind.PING))
        self._look_later()

    # -- what the bus says

    def data_received(self, data: bytes) -> None:
        """Tell the owner what the frames say."""
        self._heard = self._loop.time()
        for kind, body in self._frames.feed(data):
            if self.transport.is_closing():
                return
            if kind != Kind.PING:
                self._handlers[kind](self, body)

    def _welcome(self, body: bytes) -> None:
        self._owner.welcome(self, framing.names_in(body))

    def _joined(self, body: bytes) -> None:
        self._owner.peer_joined(body.decode())

    def _gone(self, body: bytes) -> None:
        self._owner.peer_gone(body.decode())

    def _position(self, body: bytes) -> None:
        self._owner.positioned(framing.number_of(body))

    def _deliver(self, body: bytes) -> None:
        self._owner.deliver(framing.delivered(body))

    def _request(self, body: bytes) -> None:
        self._owner.asked(*framing.address_of(body))

    def _asked(self, body: bytes) -> None:
        _, identifier, names = framing.address_of(body)
        self._owner.expect(identifier, framing.names_in(names))

    def _answer(self, body: bytes) -> None:
        peer, identifier, answer = framing.address_of(body)
        self._owner.answered(identifier, peer, answer)

    def _tell(self, body: bytes) -> None:
        peer, _, words = framing.address_of(body)
        self._owner.told(peer, words)

    _handlers: ClassVar[dict[int, Callable[[Line, bytes], None]]] = {
        Kind.WELCOME: _welcome,
        Kind.JOINED: _joined,
        Kind.GONE: _gone,
        Kind.POSITION: _position,
        Kind.DELIVER: _deliver,
        Kind.REQUEST: _request,
        Kind.ASKED: _asked,
        Kind.ANSWER: _answer,
        Kind.TELL: _tell,
    }
