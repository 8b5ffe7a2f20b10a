"""One HTTP request and its answer, as handlers see them, whatever carries them.

What it is: :class:`HTTPExchange`, the interface between what moves octets (a link of our own
server, or another ASGI server) and what answers requests (routes, ASGI applications). What it must
never know: either of these.

Invariants: a request is answered once, by :meth:`~HTTPExchange.respond`, by
:meth:`~HTTPExchange.begin` and what follows it, or by :meth:`~HTTPExchange.accept`; the loss of
the peer is known to ``disconnected`` at once, whoever reads or writes or does neither.

Sources: RFC 9110 sections 3 and 7.8, RFC 6455 section 4.2.
"""

from __future__ import annotations

import asyncio
import http
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from duologue.base.exceptions import InvalidHeader
from duologue.base.types import StatusLike, Subprotocol
from duologue.connection.connection import Callbacks
from duologue.connection.endpoint import Endpoint
from duologue.protocol.handshake import Origins
from duologue.server.connection import ServerConnection
from duologue.server.terms import ConnectionOptions
from duologue.wire.grammar import parse_connection, parse_upgrade
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.http11 import Request, Response

Address = tuple[str, int | None]
RequestHandler = Callable[["HTTPExchange"], Awaitable[None]]


class HTTPExchange(ABC):
    """A request that waits for its answer.

    Attributes:
        request: its head; ``path`` is the request target as it came.
        scheme: ``"http"`` or ``"https"``; whoever trusts a proxy in front may change it.
        client: address of the peer, ``None`` if unknown; may be changed likewise. The port is
            ``None`` for what has none, such as Unix sockets.
        server: address on which the request came, ``None`` if unknown.
        http_version: ``"1.1"``, ``"1.0"``, ``"2"`` ...
        asks_upgrade: whether this is the opening handshake of a WebSocket.
        max_body: octets that the body may have, ``None`` for any number; may be changed before the
            first :meth:`read`.
        root_path: what was taken off the path before it came to us, without a slash at its end.
        disconnected: done (with ``None``) when the peer is gone. A peer that has only ended its
            side of the stream counts as gone, though an answer is still sent to it.
    """

    request: Request
    scheme: str
    client: Address | None
    server: Address | None
    http_version: str
    asks_upgrade: bool
    max_body: int | None
    root_path: str = ""
    disconnected: asyncio.Future[None]

    @property
    @abstractmethod
    def answered(self) -> bool:
        """Whether an answer was begun: there can be no other."""

    @abstractmethod
    async def read(self) -> bytes:
        """Read the next part of the body; the socket isn't read while nobody does.

        A peer that waits for ``100 Continue`` gets it from the first call.

        Returns:
            Octets, ``b""`` at the body's end.

        Raises:
            ClientDisconnected: If the peer is gone before the body is whole.
            BodyTooLarge: If the body passes ``max_body``. Not caught, it answers with 413.
            InvalidHandshake: If the body is malformed. Not caught, it answers with 400.
            ConcurrencyError: If somebody reads already.
        """

    @abstractmethod
    async def respond(self, response: Response) -> None:
        """Send a whole answer, and wait until the peer takes it.

        ``Date``, ``Content-Length`` and ``Server`` are added where they are missing.

        Raises:
            ClientDisconnected: If the peer is gone.
            InvalidState: If the request was answered already.
            ValueError: If the response makes no sense.
        """

    @abstractmethod
    async def begin(
        self, status: StatusLike, headers: HeadersLike, reason: str | None = None
    ) -> None:
        """Send the head of an answer whose body follows by :meth:`write`.

        With a ``Content-Length`` that is kept to; without one the body goes in chunks, or to an
        HTTP/1.0 peer until the connection's end. The answer to HEAD has no body whatever is
        written.

        Args:
            status: status code.
            headers: header fields.
            reason: phrase, by default the usual one.

        Raises:
            ClientDisconnected: If the peer is gone.
            InvalidState: If the request was answered already.
            ValueError: If the head makes no sense.
        """

    @abstractmethod
    async def write(self, octets: bytes) -> None:
        """Send the next part of the answer's body, and wait while the peer takes no more.

        Raises:
            ClientDisconnected: If the peer is gone, or took nothing within ``write_timeout``.
            InvalidState: If :meth:`begin` was not called, or :meth:`finish` was.
            ValueError: If the body passes its ``Content-Length``.
        """

    @abstractmethod
    async def finish(self) -> None:
        """End the answer that :meth:`begin` began.

        Raises:
            ClientDisconnected: If the peer is gone.
            InvalidState: If no answer was begun, or it was ended.
            ValueError: If the body is shorter than its ``Content-Length``.
        """

    @abstractmethod
    async def accept(
        self,
        subprotocol: Subprotocol | str | None = None,
        headers: HeadersLike = (),
        user_data: Any = None,
        *,
        endpoint: Endpoint | Callbacks | None = None,
        origins: Origins | None = None,
        terms: ConnectionOptions | None = None,
        prepare: Callable[[ServerConnection], None] | None = None,
        gone: Callable[[], None] | None = None,
        create_connection: Callable[[Any, Any], ServerConnection] | None = None,
        **options: Any,
    ) -> ServerConnection:
        """Answer an opening handshake with 101.

        Who gets the connection reads from it while the request's handler runs; when that returns
        the connection is closed with 1000, when it raises with 1011. With an ``endpoint`` its
        callbacks are called instead, and the connection lives on after the handler.

        Args:
            subprotocol: one of those offered, ``None`` for none.
            headers: more header fields of the 101.
            user_data: becomes the connection's attribute of that name.
            endpoint: whose callbacks serve the connection, or its :class:`Callbacks`, made once
                for many connections.
            origins: origins to accept, as in :func:`~duologue.serve`; by default any.
            terms: options resolved before, for connections that share them.
            prepare: called with the connection before it opens.
            gone: called when the connection is closed and its handler has ended.
            create_connection: as in :func:`~duologue.serve`; not under ASGI servers.
            **options: those of :meth:`ConnectionOptions.resolve`, instead of ``terms``.

        Raises:
            ClientDisconnected: If the peer is gone.
            InvalidHandshake: If the request is no valid handshake. Not caught, it is answered with
                the status that says so.
            InvalidState: If the request was answered already.
            ValueError: If ``subprotocol`` wasn't offered, or a header is one that the handshake
                itself sets.
        """


def asks_upgrade(request: Request) -> bool:
    """Whether a request is meant as the opening handshake of a WebSocket, valid or not.

    What isn't GET is none: who answers the request as it stands may (RFC 9110 section 7.8).
    """
    headers = request.headers
    upgrade = headers.get_all("Upgrade")
    if not upgrade or request.method != "GET":
        return False
    if upgrade == ["websocket"] and headers.get_all("Connection") == ["Upgrade"]:
        # As nearly all write them; reading lists takes microseconds.
        return True
    try:
        return any(
            option.lower() == "upgrade"
            for line in headers.get_all("Connection")
            for option in parse_connection(line)
        ) and any(
            protocol.lower() == "websocket" for line in upgrade for protocol in parse_upgrade(line)
        )
    except Exception:
        # Not even a header of that kind: plain HTTP, which answers what it likes.
        return False


def phrase(status: StatusLike) -> str:
    """Return the usual reason phrase of a status, empty if nobody registered one."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def own_headers(headers: HeadersLike) -> Headers:
    """Make header fields of what our application gave.

    Raises:
        ValueError: If one can't be sent: the client, whom an
            :exc:`~duologue.exceptions.InvalidHeader` would blame, has no part in that.
    """
    try:
        return Headers(headers)
    except InvalidHeader as exc:
        raise ValueError(str(exc)) from exc


def check_offered(subprotocol: str | None, offered: Sequence[str]) -> Subprotocol | None:
    """Refuse a subprotocol that every conforming client would refuse (RFC 6455 section 4.1).

    Raises:
        ValueError: If it wasn't offered.
    """
    if subprotocol is None:
        return None
    if subprotocol not in offered:
        names = ", ".join(offered) or "none"
        raise ValueError(f"the client didn't offer subprotocol {subprotocol!r}; it offered {names}")
    return Subprotocol(subprotocol)
