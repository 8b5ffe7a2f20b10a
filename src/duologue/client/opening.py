"""The client's part of a link until it is a WebSocket connection (RFC 6455 section 4.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from duologue.base.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from duologue.base.limits import Limits
from duologue.base.types import Subprotocol
from duologue.client.connection import ClientConnection
from duologue.connection.headlog import log_head
from duologue.net.link import Link
from duologue.protocol.handshake import check_response
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.http11 import Request, Response, ResponseParser


class Opening:
    """The owner of a link while the client waits for the server's response.

    Args:
        connection: the connection that the link is for.
        request: handshake request to send.
        extensions: what the request offers.
        subprotocols: what the request offers.
        limits: bounds of the response.
    """

    def __init__(
        self,
        connection: ClientConnection,
        request: Request,
        extensions: Sequence[ClientExtensionFactory] | None,
        subprotocols: Sequence[Subprotocol] | None,
        limits: Limits,
    ) -> None:
        self._connection = connection
        self._extensions = extensions
        self._subprotocols = subprotocols
        self._parser = ResponseParser(limits)
        self._link: Link | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is open; its exception says why it isn't."""
        connection.request = request

    def link_opened(self, link: Link) -> None:
        """Send the request on a link that was just opened."""
        self._link = link
        link.attach(self)
        self._connection.attend(link)
        self._log_head(">", self._connection.request)
        link.write_octets(self._connection.request.serialize())

    def data_received(self, data: bytes) -> None:
        """Take octets of the server."""
        if self.done.done():
            return
        try:
            response = self._parser.feed(data)
        except Exception as exc:
            self._malformed(exc)
        else:
            if response is not None:
                self._judge(response)

    def eof_received(self) -> None:
        """The server sends nothing more; that may be how its response ends."""
        if self.done.done():
            return
        try:
            response = self._parser.feed_eof()
        except Exception as exc:
            self._malformed(exc)
        else:
            if response is not None:
                self._judge(response)

    def writable(self, yes: bool) -> None:
        """A request is short: there is nothing to hold back."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""
        if not self.done.done():
            cause = exc or EOFError("connection closed while reading HTTP status line")
            self._malformed(cause)
        self._connection.abandon(exc)

    def _log_head(self, way: str, head: Request | Response) -> None:
        if self._connection.debug:
            log_head(self._connection.logger, way, head)

    def _malformed(self, cause: BaseException) -> None:
        if isinstance(cause, InvalidHandshake):
            self._fail(cause)
            return
        failure = InvalidMessage("did not receive a valid HTTP response")
        failure.__cause__ = cause
        self._fail(failure)

    def _fail(self, exc: Exception) -> None:
        self._connection.handshake_exc = exc
        self.done.set_exception(exc)
        # Who connects may have given up; nobody else should hear of it from the collector.
        self.done.exception()

    def _judge(self, response: Response) -> None:
        connection = self._connection
        connection.response = response
        self._log_head("<", response)
        try:
            agreed = check_response(
                response,
                key=connection.request.headers["Sec-WebSocket-Key"],
                extensions=self._extensions,
                subprotocols=self._subprotocols,
            )
        except (InvalidHandshake, InvalidStatus) as exc:
            self._fail(exc)
            return
        connection.extensions = agreed.extensions
        connection.subprotocol = agreed.subprotocol
        assert self._link is not None
        # Woken before the first messages, which may come with the response.
        self.done.set_result(None)
        connection.open(self._link, self._parser.rest)
