"""How ``serve()`` answers a request: its hooks are asked, and the handshake is judged.

A :class:`Judgement` is the attendant of one request. No task exists for it unless the
application's hooks are coroutines.

Source: RFC 6455 section 4.2.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from urllib.parse import urlsplit

from duologue.base.exceptions import InvalidHandshake
from duologue.connection.headlog import log_head
from duologue.protocol.handshake import negotiate, rejection, respond
from duologue.server.opening import SERVER_ERROR, Opening, OpeningOptions
from duologue.wire.http11 import Request, Response


class Judgement:
    """Answers one request, with a connection if it is an acceptable handshake.

    Args:
        opening: where the request came from.
        request: with its body, if it has one, already read.
    """

    def __init__(self, opening: Opening, request: Request) -> None:
        self._opening = opening
        self._options = opening.options
        self._request = request
        self._task: asyncio.Task[None] | None = None
        self._connection = opening.server.new_connection()

    def start(self) -> None:
        """Answer at once, or in a task if the application's hooks wait."""
        connection = self._connection
        connection.attend(self._opening.link)
        connection.request = self._request
        if connection.debug:
            log_head(connection.logger, "<", self._request)
        hook = self._options.process_request
        response: Awaitable[Response | None] | Response | None = None
        if hook is not None:
            try:
                response = hook(connection, self._request)
            except Exception:
                self._failed("process_request")
                response = respond(500, SERVER_ERROR)
        if inspect.isawaitable(response) or self._options.process_response is not None:
            self._task = self._opening.loop.create_task(self._decide(response))
            tasks = self._opening.server.opening_tasks
            tasks.add(self._task)
            self._task.add_done_callback(tasks.discard)
        else:
            assert response is None or isinstance(response, Response)
            self._answer(response or self._accept())

    # -- what happens meanwhile

    def data_received(self) -> None:
        """Of no interest: the request is whole."""

    def writable(self) -> None:
        """Of no interest: nothing is written before the answer."""

    def timed_out(self) -> None:
        """Our own application is late: there is nothing to explain."""
        self._opening.link.abort_link()

    def eof_received(self) -> None:
        """Answer all the same, unless the peer wanted a WebSocket: half of one is of no use."""
        if self._task is not None and "Upgrade" in self._request.headers:
            self._opening.link.abort_link()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop: nobody waits for the answer."""
        if self._task is not None:
            self._task.cancel()
        self._connection.abandon(exc)

    # -- deciding

    async def _decide(self, response: Awaitable[Response | None] | Response | None) -> None:
        try:
            if inspect.isawaitable(response):
                response = await response
        except Exception:
            self._failed("process_request")
            response = respond(500, SERVER_ERROR)
        if response is None:
            response = self._accept()
        hook = self._options.process_response
        if hook is not None:
            self._opening.name_server(response)
            try:
                other = hook(self._connection, self._request, response)
                if inspect.isawaitable(other):
                    other = await other
                response = other or response
            except Exception:
                self._failed("process_response")
                response = respond(500, SERVER_ERROR)
        self._task = None
        self._answer(response)
        self._opening.advance()

    def _failed(self, hook: str) -> None:
        self._options.logger.error("%s failed", hook, exc_info=True)

    def _accept(self) -> Response:
        """Judge a handshake request; return the 101 or the refusal."""
        options, connection = self._options, self._connection
        select = options.select_subprotocol
        try:
            agreed = negotiate(
                self._request,
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
        _warn_of_cookies(options, self._request)
        return Response(101, "Switching Protocols", agreed.headers)

    # -- answering

    def _answer(self, response: Response) -> None:
        opening, connection = self._opening, self._connection
        if response.status_code == 101 and not opening.server.is_serving():
            response = respond(503, "Server is shutting down.\n")
        opening.name_server(response)
        connection.response = response
        if connection.debug:
            log_head(connection.logger, ">", response)
        octets = self._serialize(response)
        response = connection.response
        if response.status_code == 101:
            opening.switch(connection, octets)
            opening.server.reception.start(connection, opening.link, opening.http.rest)
            return
        self._options.logger.info(
            "HTTP response sent (%d %s)", response.status_code, response.reason_phrase
        )
        connection.abandon()
        opening.answered(octets)

    def _serialize(self, response: Response) -> bytes:
        """Turn a response into octets, or a 500 when the application made an impossible one."""
        try:
            return self._opening.http.respond(self._request, response)
        except (ValueError, InvalidHandshake):
            self._options.logger.error("response can't be sent", exc_info=True)
            self._connection.response = respond(500, SERVER_ERROR)
            return self._opening.http.respond(self._request, self._connection.response)


def _warn_of_cookies(options: OpeningOptions, request: Request) -> None:
    """Say once that a page of another site uses the cookies of ours."""
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
