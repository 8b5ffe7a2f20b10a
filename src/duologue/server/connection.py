"""A server's end of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from duologue.base.exceptions import InvalidState
from duologue.base.types import StatusLike
from duologue.connection.connection import Connection
from duologue.connection.json import JSONMessages
from duologue.connection.settings import Settings
from duologue.protocol.handshake import respond
from duologue.server.fields import Client, Fields, read_cookies
from duologue.wire.http11 import Request, Response

if TYPE_CHECKING:
    from duologue.server.serving import Server

T = TypeVar("T")


class _found(Generic[T]):
    """A fact that is found out whenever it is asked for.

    Applications leave attributes of their own on connections, perhaps by the same name: those
    count, unlike with a property.
    """

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __get__(self, connection: Any, owner: type | None = None) -> T:
        return self if connection is None else self._find(connection)  # type: ignore[return-value]


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

    @_found
    def client(self) -> Client | None:
        """Where the client is, as trusted proxies of an ``App`` tell it; ``None`` if unknown."""
        found = self.remote_address
        if isinstance(found, tuple):
            return Client(str(found[0]), int(found[1]))
        return Client(str(found), None) if found else None

    @_found
    def query_params(self) -> Fields:
        """The fields of the request's query; read each time.

        Raises:
            InvalidState: If the request isn't kept, see :attr:`Endpoint.keep_request`.
            ValueError: If there are more than 1000.
        """
        return Fields.parse(self._kept_request().path.partition("?")[2])

    @_found
    def cookies(self) -> Mapping[str, str]:
        """The request's cookies; read each time.

        Raises:
            InvalidState: If the request isn't kept, see :attr:`Endpoint.keep_request`.
        """
        return read_cookies(self._kept_request().headers)

    def _kept_request(self) -> Request:
        # An endpoint has let go of it after on_open.
        request: Request | None = self.request
        if request is None:
            raise InvalidState("the request is not kept; set keep_request of the Endpoint")
        return request

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
