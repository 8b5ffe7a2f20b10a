"""The server's part of a link until it is a WebSocket connection, or for good if it never is.

An :class:`Opening` owns a link on which anything else has come than an ordinary handshake, which
:mod:`duologue.server.reception` answers itself. It speaks HTTP/1.1: plain requests are answered and
the link is kept alive between them; a handshake request ends it, and the link passes on to a
connection. No task exists before that, unless the application's hooks are coroutines.

Invariants: one deadline runs at any time, ``open_timeout`` from a request's beginning to its end
and ``keep_alive_timeout`` between requests; at most one request is being answered.

Sources: RFC 6455 section 4.2, RFC 9112 section 9.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from duologue.base.exceptions import InvalidHandshake
from duologue.base.limits import Limits
from duologue.base.types import LoggerLike, Subprotocol
from duologue.connection.headlog import log_head
from duologue.net.link import Link
from duologue.net.timers import Timer, timers_of
from duologue.protocol.exchange import ServerExchange
from duologue.protocol.handshake import Origins, negotiate, rejection, respond
from duologue.server.connection import ServerConnection
from duologue.wire.extension import ServerExtensionFactory
from duologue.wire.http11 import Request, Response

if TYPE_CHECKING:
    from duologue.server.serving import Server

ProcessRequest = Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None]
ProcessResponse = Callable[
    [ServerConnection, Request, Response], Awaitable[Response | None] | Response | None
]
SelectSubprotocol = Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None]

_SERVER_ERROR = "Failed to open a WebSocket connection.\nSee server log for more information.\n"


@dataclass(slots=True)
class OpeningOptions:
    """How a server opens connections; see :func:`~duologue.serve` for each."""

    limits: Limits
    logger: LoggerLike
    origins: Origins | None
    extensions: Sequence[ServerExtensionFactory] | None
    subprotocols: Sequence[Subprotocol] | None
    select_subprotocol: SelectSubprotocol | None
    process_request: ProcessRequest | None
    process_response: ProcessResponse | None
    server_header: str | None
    open_timeout: float | None
    warned_of_origin: bool = False


class Opening:
    """The owner of a link that isn't a WebSocket connection yet.

    Args:
        server: makes connections and runs their handlers.
        link: nothing was read from it so far.
        options: shared by all openings of the server.
        deadline: of the first request, in seconds of the loop's clock; ``None`` for any time.
    """

    def __init__(
        self, server: Server, link: Link, options: OpeningOptions, deadline: float | None
    ) -> None:
        self._server = server
        self._link = link
        self._options = options
        self._exchange = ServerExchange(options.limits)
        self._connection: ServerConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._timer = Timer(timers_of(self._loop), self._timed_out)
        self._answered = 0
        self._ended = False
        if deadline is not None:
            self._timer.set(deadline)

    def _set_deadline(self, seconds: float | None) -> None:
        if seconds is None:
            self._timer.clear()
        else:
            self._timer.set(self._loop.time() + seconds)

    # -- the link's calls

    def data_received(self, data: bytes) -> None:
        """Take octets of the peer."""
        if self._ended:
            # Read and dropped: closing a socket with unread octets resets it, and the peer would
            # lose the answer (RFC 9112 section 9.6).
            return
        if self._exchange.idle and self._answered:
            self._set_deadline(self._options.open_timeout)
        self._exchange.receive(data)
        self._advance()

    def eof_received(self) -> None:
        """The peer sends nothing more; what it asked before is still answered."""
        if self._ended:
            self._link.close_link()
            return
        connection = self._connection
        if self._task is not None and connection and "Upgrade" in connection.request.headers:
            # Who wants a WebSocket has no use for half of one: the peer is gone.
            self._link.abort_link()
            return
        self._exchange.receive_eof()
        self._advance()

    def writable(self, yes: bool) -> None:
        """Take no further request while the peer doesn't take its answers."""
        if self._ended:
            return
        if yes:
            self._advance()
        else:
            self._pause(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""
        self._finish()
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.abandon(exc)

    def _finish(self) -> None:
        self._timer.drop()
        self._server.reception.openings.discard(self)

    def _pause(self, yes: bool) -> None:
        if yes != self._paused:
            self._paused = yes
            if yes:
                self._link.pause()
            else:
                self._link.resume()

    def _timed_out(self) -> None:
        if self._ended or self._exchange.idle or self._exchange.unanswered is not None:
            # Between requests, or our own application is late: there is nothing to explain.
            self._link.abort_link()
        else:
            text = f"no whole request within {self._options.open_timeout} seconds\n"
            self._end(self._exchange.respond(None, respond(408, text)))

    def shut_down(self) -> None:
        """End the link at once unless a request waits for its answer.

        Half a request is not waited for: its peer may take until ``open_timeout``.
        """
        if not self._ended and not self._exchange.idle:
            if self._exchange.unanswered is not None:
                return
            self._end(self._exchange.respond(None, respond(503, "The server is shutting down.\n")))
        self._link.close_link()

    # -- requests

    def _advance(self) -> None:
        """Answer requests, one after the other, as far as they have arrived."""
        while self._connection is None:
            try:
                request = self._exchange.next_request()
            except InvalidHandshake as exc:
                self._options.logger.debug("! malformed request", exc_info=True)
                self._end(self._exchange.refuse(exc))
                return
            interim = self._exchange.data_to_send()
            if interim:
                self._link.write_octets(interim)
            if request is None:
                break
            self._begin(request)
        if self._exchange.upgraded or self._ended:
            return
        if self._connection is None and not self._exchange.keep_alive:
            self._link.close_link()
            return
        self._pause(not self._exchange.wants_data)

    def _begin(self, request: Request) -> None:
        """Start to answer ``request``: at once, or in a task if the application's hooks wait."""
        connection = self._connection = self._server.new_connection()
        connection.attend(self._link)
        connection.request = request
        if connection.debug:
            log_head(connection.logger, "<", request)
        hook = self._options.process_request
        response: Awaitable[Response | None] | Response | None = None
        if hook is not None:
            try:
                response = hook(connection, request)
            except Exception:
                self._failed("process_request")
                response = respond(500, _SERVER_ERROR)
        if inspect.isawaitable(response) or self._options.process_response is not None:
            self._task = self._loop.create_task(self._decide(connection, request, response))
            self._server.opening_tasks.add(self._task)
            self._task.add_done_callback(self._server.opening_tasks.discard)
        else:
            assert response is None or isinstance(response, Response)
            self._answer(connection, request, response or self._accept(connection, request))

    async def _decide(
        self,
        connection: ServerConnection,
        request: Request,
        response: Awaitable[Response | None] | Response | None,
    ) -> None:
        try:
            if inspect.isawaitable(response):
                response = await response
        except Exception:
            self._failed("process_request")
            response = respond(500, _SERVER_ERROR)
        if response is None:
            response = self._accept(connection, request)
        hook = self._options.process_response
        if hook is not None:
            self._name_server(response)
            try:
                other = hook(connection, request, response)
                if inspect.isawaitable(other):
                    other = await other
                response = other or response
            except Exception:
                self._failed("process_response")
                response = respond(500, _SERVER_ERROR)
        self._task = None
        self._answer(connection, request, response)
        self._advance()

    def _failed(self, hook: str) -> None:
        self._options.logger.error("%s failed", hook, exc_info=True)

    def _name_server(self, response: Response) -> None:
        if self._options.server_header is not None and "Server" not in response.headers:
            response.headers["Server"] = self._options.server_header

    def _accept(self, connection: ServerConnection, request: Request) -> Response:
        """Judge a handshake request; return the 101 or the refusal."""
        options = self._options
        select = options.select_subprotocol
        try:
            agreed = negotiate(
                request,
                origins=options.origins,
                extensions=options.extensions,
                subprotocols=options.subprotocols,
                select_subprotocol=select and (lambda offered: select(connection, offered)),
            )
        except Exception as exc:
            if not isinstance(exc, InvalidHandshake):
                options.logger.error("opening handshake failed", exc_info=True)
            connection.handshake_exc = exc
            return rejection(exc)
        connection.extensions = agreed.extensions
        connection.subprotocol = agreed.subprotocol
        connection.origin = agreed.origin
        self._warn_of_cookies(request)
        return Response(101, "Switching Protocols", agreed.headers)

    def _warn_of_cookies(self, request: Request) -> None:
        """Say once that a page of another site uses the cookies of ours."""
        options = self._options
        origin = request.headers.get_all("Origin")
        if (
            options.warned_of_origin
            or options.origins is not None
            or not origin
            or "Cookie" not in request.headers
            or urlsplit(origin[0]).netloc == request.headers.get("Host")
        ):
            return
        options.warned_of_origin = True
        options.logger.warning(
            "a page of %s connected with cookies of this site; "
            "pass origins=[...] to serve() to choose which sites may",
            origin[0],
        )

    def _answer(self, connection: ServerConnection, request: Request, response: Response) -> None:
        if response.status_code == 101 and not self._server.is_serving():
            response = respond(503, "Server is shutting down.\n")
        self._name_server(response)
        connection.response = response
        if connection.debug:
            log_head(connection.logger, ">", response)
        octets = self._serialize(connection, request, response)
        response = connection.response
        if response.status_code == 101:
            self._finish()
            self._pause(False)
            self._link.write_octets(octets)
            if self._options.process_request is None and self._options.process_response is None:
                # No hook may have left something on them.
                connection.keep_heads(self._exchange.head, octets)
            else:
                connection.heads_exchanged(self._exchange.head, octets)
            self._server.reception.start(connection, self._link, self._exchange.rest)
            return
        options = self._options
        options.logger.info(
            "HTTP response sent (%d %s)", response.status_code, response.reason_phrase
        )
        connection.abandon()
        self._connection = None
        self._answered += 1
        if self._exchange.keep_alive:
            self._link.write_octets(octets)
            self._set_deadline(options.limits.keep_alive_timeout)
        else:
            self._end(octets)

    def _serialize(
        self, connection: ServerConnection, request: Request, response: Response
    ) -> bytes:
        """Turn a response into octets, or a 500 when the application made an impossible one."""
        try:
            return self._exchange.respond(request, response)
        except (ValueError, InvalidHandshake):
            self._options.logger.error("response can't be sent", exc_info=True)
            connection.response = respond(500, _SERVER_ERROR)
            return self._exchange.respond(request, connection.response)

    def _end(self, octets: bytes) -> None:
        """Send the last octets and end the link, giving the peer time to read them."""
        self._ended = True
        self._pause(False)
        self._link.write_octets(octets)
        self._link.write_eof()
        self._set_deadline(self._options.limits.close_timeout)
