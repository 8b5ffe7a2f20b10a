"""The client's part of a link until it is a WebSocket connection (RFC 6455 section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from duologue.base.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from duologue.base.limits import Limits
from duologue.base.types import Subprotocol
from duologue.client.asking import Asking
from duologue.client.connection import ClientConnection
from duologue.connection.headlog import log_head
from duologue.net.link import Link
from duologue.protocol.handshake import check_response
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.http11 import Request, Response, ResponseParser


class Opening(Asking):
    """The owner of a link while the client waits for the server's response.

    Args:
        connection: the connection that the link is for.
        request: handshake request to send.
        extensions: what the request offers.
        subprotocols: what the request offers.
        limits: bounds of the response.
        require_subprotocol: fail if subprotocols are offered and the server chooses none.
    """

    def __init__(
        self,
        connection: ClientConnection,
        request: Request,
        extensions: Sequence[ClientExtensionFactory] | None,
        subprotocols: Sequence[Subprotocol] | None,
        limits: Limits,
        require_subprotocol: bool = False,
    ) -> None:
        super().__init__(ResponseParser(limits))
        self._connection = connection
        self._extensions = extensions
        self._subprotocols = subprotocols
        self._require_subprotocol = require_subprotocol
        connection.request = request

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""
        if not self.done.done():
            cause = exc or EOFError("connection closed while reading HTTP status line")
            self._malformed(cause)
        self._connection.abandon(exc)

    def _ask(self, link: Link) -> None:
        self._connection.attend(link)
        self._log_head(">", self._connection.request)
        link.write_octets(self._connection.request.serialize())

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
        super()._fail(exc)

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
                require_subprotocol=self._require_subprotocol,
            )
        except (InvalidHandshake, InvalidStatus) as exc:
            self._fail(exc)
            return
        connection.extensions = agreed.extensions
        connection.subprotocol = agreed.subprotocol
        assert self._link is not None
        # Woken before the first messages, which may come with the response.
        self.done.set_result(response)
        connection.open(self._link, self._parser.rest)
