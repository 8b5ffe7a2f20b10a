"""Octets before a link's own: what a proxy in front says of each connection.

:class:`ProxyPreambles` takes accepted links, reads the PROXY protocol's preamble, and passes each
link on as if nothing had been there, with the addresses that the preamble gives. It comes before
TLS, since proxies write it so.

Invariants: a link whose peer isn't trusted, or whose preamble is malformed or late, is closed
without a word; nothing of what follows a preamble is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from duologue.net.proxy_protocol import Address, Preamble
from duologue.net.timers import Timer, timers_of

if TYPE_CHECKING:
    from duologue.net.link import Link
    from duologue.net.socket_link import SocketLink

__all__ = ["ProxyPreambles"]

logger = logging.getLogger("duologue.net")

TIMEOUT = 10.0
"""Seconds for the preamble, which a proxy sends with the first packet."""


class ProxyPreambles:
    """Reads the preambles of a server's links.

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
        self.loop = loop
        self.timeout = timeout
        self.waiting: set[Waiting] = set()
        self._trusts = trusts

    def accept(self, link: SocketLink, opened: Callable[[Link], None]) -> None:
        """Read the preamble of a link that was just accepted.

        Args:
            link: the link.
            opened: called with it afterwards; must give it an owner.
        """
        peer = link.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else None
        waiting = Waiting(self, link, opened)
        link.attach(waiting)
        if not self._trusts(host):
            waiting.refuse(
                f"{host or 'a Unix socket'} is not among those that may use the PROXY protocol"
            )

    def close(self) -> None:
        """Break off what is under way."""
        for waiting in list(self.waiting):
            waiting.link.abort_link()


class Waiting:
    """The owner of a link whose preamble isn't whole."""

    def __init__(
        self, preambles: ProxyPreambles, link: SocketLink, opened: Callable[[Link], None]
    ) -> None:
        self.link = link
        self._preambles = preambles
        self._opened = opened
        self._preamble = Preamble()
        self._timer = Timer(timers_of(preambles.loop), self._timed_out)
        if preambles.timeout is not None:
            self._timer.set(preambles.loop.time() + preambles.timeout)
        preambles.waiting.add(self)

    def _leave(self) -> None:
        self._timer.drop()
        self._preambles.waiting.discard(self)

    def refuse(self, why: str) -> None:
        """Close the link."""
        logger.warning("connection refused: %s", why)
        self.link.abort_link()

    def _timed_out(self) -> None:
        self.refuse(f"no PROXY protocol preamble within {self._preambles.timeout} seconds")

    def data_received(self, data: bytes) -> None:
        """Take octets; the last act when the preamble is whole."""
        try:
            addresses = self._preamble.feed(data)
        except ValueError as exc:
            self.refuse(str(exc))
            return
        if addresses is None:
            return
        self._leave()
        if addresses.source is not None and addresses.destination is not None:
            self.link.rename(_as_name(addresses.destination), _as_name(addresses.source))
        self._opened(self.link)
        if self._preamble.rest:
            self.link.deliver(self._preamble.rest)

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
