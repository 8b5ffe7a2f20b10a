"""A tunnel through an HTTP proxy: asking for it, and the proxy's answer (RFC 9110 section 9.3.6).

It is the owner of the link to the proxy until the tunnel is there. Then the same link leads to the
server, and whoever comes next takes it over.

Invariants: nothing of the answer is kept beyond its head, whose size `Limits` bounds; nothing is
read after it until there is a new owner; octets after it are refused, since the server has been
asked nothing yet and can't have sent them.
"""

from __future__ import annotations

from duologue.base.exceptions import InvalidProxyMessage, InvalidProxyStatus
from duologue.base.limits import Limits
from duologue.client.asking import Asking
from duologue.net.link import Link
from duologue.wire.http11 import Response, ResponseParser


class Tunnel(Asking):
    """The owner of a link to a proxy while the proxy is asked for a tunnel.

    Args:
        request: the CONNECT request's octets.
        limits: bounds of the answer: ``max_line``, ``max_headers`` and ``max_head``.
    """

    def __init__(self, request: bytes, limits: Limits) -> None:
        super().__init__(ResponseParser(limits, head_only=True))
        self._request = request

    def eof_received(self) -> None:
        """The proxy sends nothing more."""
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""
        self._link = None
        if not self.done.done():
            try:
                self._parser.feed_eof()
            except EOFError as eof:
                self._malformed(exc or eof)

    def _ask(self, link: Link) -> None:
        link.write_octets(self._request)

    def _judge(self, response: Response) -> None:
        link, self._link = self._link, None
        if not 200 <= response.status_code < 300:
            self._fail(InvalidProxyStatus(response))
        elif self._parser.rest:
            self._malformed(ValueError("octets after the head of the answer to CONNECT"))
        else:
            # What the server sends must wait for whoever takes the link over.
            if link is not None:
                link.pause()
            self.done.set_result(response)

    def _malformed(self, cause: BaseException) -> None:
        failure = InvalidProxyMessage("did not receive a valid HTTP response from proxy")
        failure.__cause__ = cause
        self._fail(failure)
