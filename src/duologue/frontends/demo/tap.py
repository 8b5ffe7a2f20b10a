"""Listening in on one connection: a transport between a link and what the link belongs to.

A :class:`Tapped` owns the link that carries the octets, and is the transport of a second link that
looks to the connection like any other. What passes is told to a :class:`Tap`: octets as they are on
the wire (inside TLS), in the order in which they pass.

It must never change, hold back or reorder an octet, and never know what the octets mean.

Invariant: once the connection has paused reading it is given nothing more, even if octets have been
read already; they follow when it resumes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from duologue.net.asyncio_link import AsyncioLink
from duologue.net.link import Link

__all__ = ["Tap", "Tapped"]


class Tap(Protocol):
    """Who listens in."""

    def heads(self, request: bytes, response: bytes) -> None:
        """The opening handshake is over; these were its octets."""

    def received(self, octets: bytes) -> None:
        """Octets have come from the peer."""

    def sent(self, octets: bytes) -> None:
        """Octets are on their way to the peer."""

    def ended(self) -> None:
        """The stream has ended; nothing follows."""


class Tapped(asyncio.Transport):
    """A link with a tap on it.

    Args:
        link: What carries the octets. It gets this object as its owner.
        tap: Who is told of them.

    Attributes:
        link: The link to open the connection with, instead of the one given.
    """

    def __init__(self, link: Link, tap: Tap) -> None:
        super().__init__()
        self._carrier = link
        self._tap = tap
        self._unread = b""
        self._eof = False
        self._paused = False
        self._closing = False
        self.link = AsyncioLink(lambda link: None)
        self.link.connection_made(self)
        link.attach(self)

    # -- the carrying link's calls

    def data_received(self, data: bytes) -> None:
        """Passes on what the peer has sent."""
        self._tap.received(data)
        self._unread += data
        self._pass_on()

    def eof_received(self) -> None:
        """Passes on that the peer sends nothing more."""
        self._eof = True
        self._pass_on()

    def writable(self, yes: bool) -> None:
        """Passes on whether the peer takes what is sent."""
        if yes:
            self.link.resume_writing()
        else:
            self.link.pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Passes on that the link is gone."""
        self._closing = True
        self.link.connection_lost(exc)
        self._tap.ended()

    def _pass_on(self) -> None:
        while self._unread and not self._paused:
            buffer = memoryview(self.link.get_buffer(len(self._unread)))
            size = min(len(buffer), len(self._unread))
            piece, self._unread = self._unread[:size], self._unread[size:]
            buffer[:size] = piece
            self.link.buffer_updated(size)
        if self._eof and not self._unread and not self._closing:
            self.link.eof_received()
            self.close()

    # -- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Sends octets."""
        octets = bytes(data)
        self._tap.sent(octets)
        self._carrier.write_octets(octets)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Leaves the marks where they are: they are the carrying link's."""

    def get_write_buffer_size(self) -> int:
        """Returns how many octets wait to be sent."""
        return self._carrier.unsent_octets()

    def pause_reading(self) -> None:
        """Reads no more for now."""
        self._paused = True
        self._carrier.pause()

    def resume_reading(self) -> None:
        """Reads again."""
        self._paused = False
        self._carrier.resume()
        self._pass_on()

    def can_write_eof(self) -> bool:
        """Our stream can be ended while the peer's goes on."""
        return True

    def write_eof(self) -> None:
        """Ends our stream."""
        self._carrier.write_eof()

    def is_closing(self) -> bool:
        """Whether the link is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Closes after what waits has gone out."""
        self._closing = True
        self._carrier.close_link()

    def abort(self) -> None:
        """Closes at once."""
        self._closing = True
        self._carrier.abort_link()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns what the carrying link knows, such as its addresses."""
        value = self._carrier.get_extra_info(name)
        return default if value is None else value
