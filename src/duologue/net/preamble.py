"""What comes first on a connection, before it has an owner who goes on with it.

:class:`ProxyPreambles` reads the PROXY protocol's preamble, and passes each link on as if nothing
had been there, with what the preamble says of addresses and TLS. It comes before TLS, since proxies
write it so. :class:`SharedPort` looks at the first octets, takes none of them away, and passes the
link on to who understands them, so that several protocols may share a port.

Invariants: a link whose peer isn't trusted, or whose first octets are malformed or late, is closed
without a word; nothing of what follows is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duologue.net.proxy_protocol import Address, Preamble
from duologue.net.timers import Timer, timers_of

if TYPE_CHECKING:
    from duologue.net.socket_link import SocketLink

__all__ = ["ProxyPreambles", "SharedPort"]

logger = logging.getLogger("duologue.net")

TIMEOUT = 10.0
"""Seconds for a preamble, which a proxy sends with the first packet, and for first octets."""

# Called with a link that it must give an owner.
Opened = Callable[[Any], None]


class FirstOctets:
    """Owns links until what comes first on them has been read.

    Args:
        loop: the event loop.
        timeout: seconds for each, ``None`` for any time.
    """

    LEVEL = logging.WARNING
    """How severe it is that a link is refused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None = TIMEOUT) -> None:
        self.loop = loop
        self.timeout = timeout
        self.waiting: set[Waiting] = set()

    def close(self) -> None:
        """Break off what is under way."""
        for waiting in list(self.waiting):
            waiting.link.abort_link()


class ProxyPreambles(FirstOctets):
    """Reads the PROXY protocol's preambles of a server's links.

    Args:
        loop: the event loop.
        trusts: whether a peer (its address, ``None`` for Unix sockets) may send preambles.
        timeout: seconds for each, ``None`` for any time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        trusts: Callable[[str | None], bool],
        timeout: float | None = TIMEOUT,
    ) -> None:
        super().__init__(loop, timeout)
        self._trusts = trusts

    def accept(self, link: SocketLink, opened: Opened) -> None:
        """Read the preamble of a link that was just accepted.

        Args:
            link: the link.
            opened: called with it afterwards; must give it an owner.
        """
        preamble = Preamble()

        def read(octets: bytes) -> tuple[Opened, bytes] | None:
            addresses = preamble.feed(octets)
            if addresses is None:
                return None
            if addresses.source is not None and addresses.destination is not None:
                link.rename(_as_name(addresses.destination), _as_name(addresses.source))
            if addresses.secure:
                link.note_tls()
            return opened, preamble.rest

        waiting = Waiting(self, link, read, "no PROXY protocol preamble")
        peer = link.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else None
        if not self._trusts(host):
            waiting.refuse(
                f"{host or 'a Unix socket'} is not among those that may use the PROXY protocol"
            )


class SharedPort(FirstOctets):
    """Tells protocols that share a port apart, for those whose clients speak first.

    Args:
        loop: the event loop.
        choose: takes what has come so far, at least one octet; returns who is given the link,
            ``None`` when that takes more octets, of which it must know a bound.
        timeout: seconds for each link, ``None`` for any time.
    """

    # Browsers open connections beforehand, and may never use them.
    LEVEL = logging.DEBUG

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        choose: Callable[[bytes], Opened | None],
        timeout: float | None = TIMEOUT,
    ) -> None:
        super().__init__(loop, timeout)
        self._choose = choose

    def accept(self, link: SocketLink) -> None:
        """Wait for the first octets of a link that was just accepted, and pass both on."""
        came = bytearray()

        def read(octets: bytes) -> tuple[Opened, bytes] | None:
            came.extend(octets)
            opened = self._choose(bytes(came))
            return None if opened is None else (opened, bytes(came))

        Waiting(self, link, read, "nothing came")


class Waiting:
    """The owner of a link whose first octets aren't all there.

    Args:
        first: whose link it is.
        link: the link.
        read: takes octets; returns who is given the link, and what is to be delivered there, or
            ``None`` for more; raises :exc:`ValueError` to refuse the link.
        late: what to say when time is up.
    """

    def __init__(
        self,
        first: FirstOctets,
        link: SocketLink,
        read: Callable[[bytes], tuple[Opened, bytes] | None],
        late: str,
    ) -> None:
        self.link = link
        self._first = first
        self._read = read
        self._late = late
        self._timer = Timer(timers_of(first.loop), self._timed_out)
        if first.timeout is not None:
            self._timer.set(first.loop.time() + first.timeout)
        first.waiting.add(self)
        link.attach(self)

    def _leave(self) -> None:
        self._timer.drop()
        self._first.waiting.discard(self)

    def refuse(self, why: str) -> None:
        """Close the link."""
        logger.log(self._first.LEVEL, "connection refused: %s", why)
        self.link.abort_link()

    def _timed_out(self) -> None:
        self.refuse(f"{self._late} within {self._first.timeout} seconds")

    def data_received(self, data: bytes) -> None:
        """Take octets; the last act when there are enough."""
        try:
            found = self._read(data)
        except ValueError as exc:
            self.refuse(str(exc))
            return
        if found is None:
            return
        self._leave()
        opened, rest = found
        opened(self.link)
        if rest:
            self.link.deliver(rest)

    def eof_received(self) -> None:
        """Who ends before it has begun is of no interest (it may be a health check)."""
        self.link.abort_link()

    def writable(self, yes: bool) -> None:
        """Of no interest: nothing is written."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the link."""
        self._leave()


def _as_name(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """An address as the ``socket`` module has it."""
    return (*address, 0, 0) if ":" in address[0] else address
