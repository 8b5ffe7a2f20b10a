"""A server's end of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from duologue.base.types import StatusLike
from duologue.connection.connection import Connection
from duologue.connection.json import JSONMessages
from duologue.connection.settings import Settings
from duologue.protocol.handshake import respond
from duologue.wire.http11 import Request, Response

if TYPE_CHECKING:
    from duologue.server.serving import Server


class ServerConnection(Connection, JSONMessages):
    """A connection that :func:`~duologue.serve` accepted; handlers get one.

    Made when a request arrives, so that ``process_request`` can look at it and leave its own
    attributes on it; it opens when the 101 is sent.

    Args:
        settings: shared by all connections of the server.
        server: the server that accepted it.
    """

    # One slot instead of a dictionary, which a connection has once something else is set on it.
    __slots__ = ("server",)

    request: Request
    """Request of the opening handshake."""
    response: Response
    """Response of the opening handshake."""
    username: str
    """Set by :func:`~duologue.basic_auth`."""
    handler: Callable[..., Awaitable[None]]
    """Set by :func:`~duologue.route`."""
    handler_kwargs: Mapping[str, Any]
    """Set by :func:`~duologue.route`."""
    path_params: Mapping[str, Any] = MappingProxyType({})
    """What the parameters of an application's route have become."""
    gone: Callable[[], None] | None = None
    """Called when the connection is closed and its handler has ended."""
    user_data: Any = None
    """Set by :meth:`~duologue.server.exchanges.HTTPExchange.accept`."""

    def __init__(self, settings: Settings, server: Server) -> None:
        super().__init__(settings)
        self.server = server

    def heads_exchanged(self, request: bytes, response: bytes) -> None:
        """Does nothing; for subclasses that want the octets of the opening handshake.

        Called when the 101 has been sent, before the connection opens. Without
        ``process_request`` and ``process_response`` the connection keeps the octets, too.

        Args:
            request: head of the request, as it arrived.
            response: head of the 101, as it was sent.
        """

    def cancel_handler(self) -> None:
        """Cancel the handler's task."""
        task = self.server.all_connections.get(self)
        if task is not None:
            task.cancel(f"the peer is gone: {self.why}")

    def respond(self, status: StatusLike, text: str) -> Response:
        """Build a plain-text answer for ``process_request`` or ``process_response`` to return.

        Args:
            status: status code.
            text: body, sent as UTF-8.

        Returns:
            A response whose headers may be changed.
        """
        return respond(status, text)
