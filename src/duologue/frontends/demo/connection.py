"""The demo's end of a connection: an ordinary one, that can be listened in on.

What it adds is the lowest floor there is for a page to show: the octets. It must never know what a
page does with them.
"""

from __future__ import annotations

from duologue.asyncio.server import ServerConnection
from duologue.frontends.demo.tap import Tap, Tapped
from duologue.net.link import Link

__all__ = ["DemoConnection"]


class DemoConnection(ServerConnection):
    """A connection of the demo; pass it to ``serve()`` as ``create_connection``.

    Attributes:
        tap: Who listens in, set before the connection opens; usually nobody.
    """

    tap: Tap | None = None
    _link: Link | None = None

    def heads_exchanged(self, request: bytes, response: bytes) -> None:
        """Tells the tap of the opening handshake.

        Args:
            request: Head of the request.
            response: Head of the 101.
        """
        if self.tap is not None:
            self.tap.heads(request, response)

    def open(self, link: Link, rest: bytes = b"") -> None:
        """Opens the connection, with the tap between it and its link.

        Args:
            link: Where octets go and come from.
            rest: Octets that came after the handshake.
        """
        self._link = link
        if self.tap is not None:
            link = Tapped(link, self.tap).link
            if rest:
                self.tap.received(rest)
        super().open(link, rest)

    def write_raw(self, octets: bytes) -> None:
        """Puts octets on the wire past the protocol, to show what a peer makes of them.

        Args:
            octets: Anything. The connection doesn't learn that it has broken the rules.
        """
        if self._link is not None:
            self._link.write_octets(octets)
