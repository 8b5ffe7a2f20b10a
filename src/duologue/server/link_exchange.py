"""An HTTP request that came over a link of our own server, and its answer.

A :class:`LinkExchange` is the attendant of one request; the handler runs in its task. It decides
nothing about HTTP (that is :class:`~duologue.protocol.exchange.ServerExchange`) and nothing about
the link between requests (that is :class:`~duologue.server.opening.Opening`).

Invariants: a slow sender gets ``open_timeout`` for its body, and more only as long as
``MIN_BODY_RATE`` arrives; a peer that takes nothing of its answer for ``write_timeout`` is gone.

Sources: RFC 9110 section 7.8, RFC 9112 sections 6 and 9, RFC 6455 section 4.2.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

from duologue.base.exceptions import (
    ClientDisconnected,
    ConcurrencyError,
    InvalidHandshake,
)
from duologue.base.types import StatusLike, Subprotocol
from duologue.connection.connection import Callbacks
from duologue.connection.endpoint import Endpoint
from duologue.protocol.handshake import (
    Origins,
    negotiate,
    respond,
)
from duologue.server.access import log_access
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import (
    Address,
    RequestHandler,
    asks_upgrade,
    check_offered,
    own_headers,
    phrase,
)
from duologue.server.handling import HandledExchange
from duologue.server.opening import Opening
from duologue.server.terms import ConnectionOptions
from duologue.wire.headers import HeadersLike
from duologue.wire.http11 import Request, Response

MIN_BODY_RATE: Final = 500
"""Octets a second below which a body counts as withheld; modems were faster."""

# The handshake's own; an application that sets them would contradict it.
_RESERVED = (
    "connection",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)


class _once:
    """A fact found out when it is first asked for, which may also be set.

    ``functools.cached_property`` takes a lock for each, which costs more than most of these facts.
    """

    def __init__(self, find: Callable[[Any], Any]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, exchange: Any, owner: type | None = None) -> Any:
        if exchange is None:
            return self
        value = exchange.__dict__[self._name] = self._find(exchange)
        return value


def attend_with(
    handler: RequestHandler, terms: ConnectionOptions
) -> Callable[[Opening, Request], LinkExchange]:
    """Return what makes the attendant of each request for a server that answers with ``handler``.

    Args:
        handler: coroutine function that is given each exchange.
        terms: of connections whose ``accept()`` isn't told otherwise.
    """
    return functools.partial(LinkExchange, handler, terms)


class LinkExchange(HandledExchange):
    """A request on a link of ours; see :class:`HTTPExchange`.

    Attributes:
        link: the link.
    """

    def __init__(
        self, handler: RequestHandler, terms: ConnectionOptions, opening: Opening, request: Request
    ) -> None:
        super().__init__(handler, opening.server, terms, opening.options.logger)
        self.request = request
        self.http_version = request.protocol.removeprefix("HTTP/")
        self.asks_upgrade = asks_upgrade(request)
        self.max_body = opening.options.limits.max_body
        self._opening = opening
        self.link = opening.link
        self._waiting: asyncio.Future[None] | None = None
        self._reading = False
        self._patience = opening.options.open_timeout

    # -- facts, looked up when they are asked for

    @_once
    def scheme(self) -> str:
        """Whether TLS carries the link."""
        return self._opening.facts[0]

    @_once
    def client(self) -> Address | None:
        """The peer's address."""
        return self._opening.facts[1]

    @_once
    def server(self) -> Address | None:
        """Our address; of a Unix socket its path."""
        return self._opening.facts[2]

    @_once
    def disconnected(self) -> asyncio.Future[None]:
        """Done when the peer is gone."""
        future = self._opening.loop.create_future()
        if self._gone:
            future.set_result(None)
        return future

    # -- what Opening tells

    def start(self) -> None:
        """Run the handler in a task."""
        self._opening.set_deadline(None)
        self._task = self._opening.loop.create_task(self.handle(), name="request handler")
        self._server.opening_tasks.add(self._task)
        self._task.add_done_callback(self._server.opening_tasks.discard)

    def data_received(self) -> None:
        """More of the body may be there."""
        self._wake()

    def eof_received(self) -> None:
        """The peer ended its side: perhaps it still takes an answer, but it waits for no other."""
        if self.asks_upgrade:
            # It has no use for half a WebSocket.
            self.link.abort_link()
        else:
            self._tell()
        self._wake()

    def writable(self) -> None:
        """The link takes octets again."""
        self._wake()

    def timed_out(self) -> None:
        """The peer withheld its body, or took nothing of its answer."""
        if not self._reading or self._answered:
            self.link.abort_link()
            return
        text = f"no whole body within {self._opening.options.open_timeout} seconds\n"
        self._answered = self._finished = self._gone = True
        self._log(408)
        self._opening.end(self._opening.http.respond(self.request, respond(408, text)))
        self._tell()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone: the handler gets to know, and decides itself when to stop."""
        self._gone = True
        self._tell()
        self._wake()

    def _tell(self) -> None:
        self._left = True
        if not self.disconnected.done():
            self.disconnected.set_result(None)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def abort(self) -> None:
        """Close the link at once."""
        self.link.abort_link()

    # -- reading

    async def read(self) -> bytes:
        """See :meth:`HTTPExchange.read`."""
        opening = self._opening
        if self._reading:
            raise ConcurrencyError("another task reads the body of this request already")
        self._reading = True
        try:
            while True:
                if self._gone or self._connection is not None:
                    raise ClientDisconnected("the client is gone before the request's end")
                part = self._read_part()
                if part or opening.http.body_complete:
                    return part
                opening.send_interim()
                await self._wait_for_part()
        finally:
            self._reading = False

    def _read_part(self) -> bytes:
        opening = self._opening
        if self._finished:
            # What is left of the body is skipped, not read.
            return b""
        try:
            part = opening.http.read_body(self.max_body)
        except InvalidHandshake as exc:
            if isinstance(exc.__cause__, EOFError):
                raise ClientDisconnected("the client is gone before the request's end") from exc
            raise
        opening.balance()
        return part

    async def _wait_for_part(self) -> None:
        opening, began = self._opening, self._opening.loop.time()
        opening.set_deadline(self._patience)
        before = opening.http.received
        try:
            await self._wait()
        finally:
            if not self._gone:
                opening.set_deadline(None)
        if self._patience is not None and opening.options.open_timeout is not None:
            earned = (opening.http.received - before) / MIN_BODY_RATE
            left = self._patience - (opening.loop.time() - began) + earned
            self._patience = max(0.0, min(opening.options.open_timeout, left))

    async def _wait(self) -> None:
        self._waiting = self._opening.loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # -- answering

    async def respond(self, response: Response) -> None:
        """See :meth:`HTTPExchange.respond`."""
        self._expect_no_answer()
        self._opening.name_server(response)
        octets = self._opening.http.respond(self.request, response)
        self._answered = self._finished = True
        self._log(response.status_code)
        await self._finish_with(octets)

    async def begin(
        self, status: StatusLike, headers: HeadersLike, reason: str | None = None
    ) -> None:
        """See :meth:`HTTPExchange.begin`."""
        self._expect_no_answer()
        response = Response(
            int(status), phrase(status) if reason is None else reason, own_headers(headers)
        )
        self._opening.name_server(response)
        octets = self._opening.http.begin(self.request, response)
        self._answered = True
        self._log(response.status_code)
        self.link.write_octets(octets)

    async def write(self, octets: bytes) -> None:
        """See :meth:`HTTPExchange.write`."""
        self._expect_begun()
        self.link.write_octets(self._opening.http.part(octets))
        if self._opening.blocked:
            await self._drain()

    async def finish(self) -> None:
        """See :meth:`HTTPExchange.finish`."""
        self._expect_begun()
        octets = self._opening.http.finish()
        self._finished = True
        await self._finish_with(octets)

    async def _finish_with(self, octets: bytes) -> None:
        """Send the answer's last octets, and go on when the peer has taken most of them.

        Its time between requests isn't that of a slow transfer.
        """
        opening = self._opening
        self.link.write_octets(octets)
        while opening.blocked and not self._gone:
            await self._drain()
        if not self._gone:
            opening.answered(b"")
            opening.advance()

    async def _drain(self) -> None:
        opening = self._opening
        timeout = opening.options.limits.write_timeout
        while opening.blocked and not self._gone:
            opening.set_deadline(timeout)
            await self._wait()
            if not self._gone:
                opening.set_deadline(None)
        if self._gone and not self._finished:
            raise ClientDisconnected("the client is gone before the answer's end")

    def _log(self, outcome: StatusLike | str) -> None:
        logger = self._opening.options.access_logger
        if logger is not None:
            log_access(logger, self, outcome)

    # -- WebSocket

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
        """See :meth:`HTTPExchange.accept`."""
        self._expect_no_answer()
        if not (self._server.is_serving() or self._server.admitting):
            await self.respond(respond(503, "The server is shutting down.\n"))
            raise ClientDisconnected("the server is shutting down")
        plain = subprotocol is None and origins is None and not headers and not options
        terms = self._choose_terms(terms, options)
        connection = (create_connection or ServerConnection)(terms.settings, self._server)
        octets = self._answer_plainly(connection, terms) if plain else None
        response = None
        if octets is None:
            response = self._switching(connection, terms, subprotocol, origins)
            self._add_headers(response, headers)
        # So that who prepares it can ask for addresses.
        connection.attend(self.link)
        if user_data is not None:
            connection.user_data = user_data
        if gone is not None:
            connection.gone = gone
        try:
            # Before the answer: what fails here is answered with 500.
            if prepare is not None:
                prepare(connection)
            if octets is None:
                assert response is not None
                octets = self._opening.http.respond(self.request, response)
            else:
                self._opening.http.upgrade(self.request)
            self._answered = self._finished = True
            self._opening.switch(connection, octets)
        except BaseException as exc:
            connection.abandon(exc if isinstance(exc, Exception) else None)
            if self._answered:
                self.abort()
            raise
        self._log("[accepted]")
        self._open(connection, endpoint)
        return connection

    def _answer_plainly(
        self, connection: ServerConnection, terms: ConnectionOptions
    ) -> bytes | None:
        """Return the 101 of an ordinary handshake, recognised instead of negotiated.

        Without a subprotocol or headers of the application's it is the same for each of them.
        """
        options = self._opening.options
        upgrades = terms.upgrades(options.limits, options.server_header)
        found = upgrades.answer(self._opening.http.head)
        if found is None:
            return None
        octets, connection.extensions, _, connection.origin, *_ = found
        return octets

    def _add_headers(self, response: Response, headers: HeadersLike) -> None:
        for name, value in own_headers(headers).raw_items():
            if name.lower() in _RESERVED:
                raise ValueError(f"{name} is set by the handshake itself")
            if name.lower() == "date":
                del response.headers["Date"]
            response.headers[name] = value
        self._opening.name_server(response)

    def _switching(
        self,
        connection: ServerConnection,
        terms: ConnectionOptions,
        subprotocol: str | None,
        origins: Origins | None,
    ) -> Response:
        """Negotiate; return the 101."""
        agreed = negotiate(
            self.request,
            origins=origins,
            extensions=terms.extensions,
            select_subprotocol=lambda offered: check_offered(subprotocol, offered),
        )
        connection.extensions = agreed.extensions
        connection.subprotocol = agreed.subprotocol
        connection.origin = agreed.origin
        return Response(101, "Switching Protocols", agreed.headers)

    def _open(
        self,
        connection: ServerConnection,
        endpoint: Endpoint | Callbacks | None,
    ) -> None:
        self._connection = connection
        if isinstance(endpoint, Endpoint):
            endpoint = Callbacks(endpoint, Endpoint)
        self._endpoint = endpoint is not None
        self._server.reception.adopt(
            connection,
            self.link,
            self._opening.http.rest,
            endpoint,
            None if endpoint is not None else self._task,
        )
